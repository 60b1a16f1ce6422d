// What the emulator's cuBLASLt offers for a product: algorithms that sum in different orders, some in workspace.
#pragma once

#include <vector>

#include "../library/library_work.h"
#include "cublaslt.h"

namespace cublaslt_emulator {

struct Choice {
  int id = 0;
  int place = 0;                // among what the heuristics gave, from 1
  uint32_t alignments[4] = {};  // of A, B, C, D: what the caller promised
  uint64_t workspace_bytes = 0;
};

// In the order in which they are given, of those that suit the preference.
std::vector<Choice> choices(const Problem& problem, const Preference& preference);
Algorithm encode(const Choice& choice, const Problem& problem, int64_t version);
// False with the reason: damaged, of another version, or given for another problem.
bool decode(const Algorithm& algorithm, const Problem& problem, int64_t version, Choice* choice, std::string* why);

struct Operands {
  double alpha = 1, beta = 0;
  uint64_t a = 0, b = 0, c = 0, d = 0, workspace = 0;
  bool drops_nan = false;  // where RELU is x > 0 ? x : 0
};

// What runs one behind the other: one piece of work, or two for a sum whose depth is split.
std::vector<cuda_emulator::LibraryWork> works_of(const Problem& problem, const Choice& choice,
                                                 const Operands& operands);

}  // namespace cublaslt_emulator
