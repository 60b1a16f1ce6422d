// Mutants of PTX: one instruction changed the way that programmers and code generators err.
#pragma once

#include <string>
#include <vector>

namespace cuda_emulator {

enum class Mutation {
  barrier_dropped,
  wait_off_by_one,  // for copies that run meanwhile
  bound_off_by_one,
  wrong_predicate,
  shuffle_changed,  // its lane or its mask
  initialisation_missing,
  misaligned_address,
  element_beside,      // an address off by one element
  fragment_exchanged,  // two registers of one operand of a matrix unit
};
std::string name(Mutation mutation);

struct Mutant {
  Mutation mutation{};
  int line = 0;  // of the text, counted from 1
  std::string before, after;
};

// All that may be made of the lines that have an outcome, in their order.
std::vector<Mutant> find_mutants(const std::vector<std::string>& lines, const std::vector<uint64_t>& outcomes);
std::string mutated(const std::vector<std::string>& lines, const Mutant& mutant);

}  // namespace cuda_emulator
