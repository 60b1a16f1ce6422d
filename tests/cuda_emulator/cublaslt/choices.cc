// Algorithms as a program sees them: their needs, and the 64 bytes that it may keep.
#include <algorithm>
#include <bit>
#include <cstring>

#include "algorithms.h"
#include "sums.h"

namespace cublaslt_emulator {
namespace {

constexpr uint64_t magic = 0x746c'616c'7563'7770;  // "pwcualt"

uint64_t workspace_of(const Sum& sum, const Problem& problem) {
  if (sum.parts == 1) return 0;
  return static_cast<uint64_t>(sum.parts) * problem.batches * problem.rows * problem.columns * problem.element_bytes();
}

// Addresses, columns and batches all begin at multiples of `bytes`.
bool is_aligned(const Layout& layout, uint64_t element_bytes, uint64_t promised, uint64_t bytes) {
  auto divides = [&](int64_t elements) { return static_cast<uint64_t>(elements) * element_bytes % bytes == 0; };
  return promised % bytes == 0 && divides(layout.leading) && (layout.batches == 1 || divides(layout.batch_stride));
}

uint64_t checksum(const Algorithm& algorithm) {
  uint64_t all = 0;
  for (int i = 0; i < 7; ++i) all = std::rotl(all ^ algorithm.data[i], 11) * 0x9e37'79b9'7f4a'7c15;
  return all;
}

}  // namespace

std::vector<Choice> choices(const Problem& problem, const Preference& preference) {
  std::vector<Choice> all;
  const Layout* layouts[] = {&problem.a, &problem.b, &problem.c, &problem.d};
  for (const Sum& sum : sums) {
    const uint64_t bytes = sum.is_vectorised ? 16 : problem.element_bytes();
    bool suits = static_cast<uint64_t>(sum.parts) <= problem.depth && (sum.parts == 1 || (preference.reductions & 2));
    for (int i = 0; i < 4; ++i)
      suits = suits && is_aligned(*layouts[i], problem.element_bytes(), preference.alignments[i], bytes);
    Choice choice;
    choice.id = sum.id;
    choice.workspace_bytes = workspace_of(sum, problem);
    std::copy(preference.alignments, preference.alignments + 4, choice.alignments);
    if (!suits || choice.workspace_bytes > preference.most_workspace) continue;
    choice.place = static_cast<int>(all.size()) + 1;
    all.push_back(choice);
  }
  return all;
}

Algorithm encode(const Choice& choice, const Problem& problem, int64_t version) {
  Algorithm made{};
  made.data[0] = magic;
  made.data[1] = static_cast<uint64_t>(choice.id) | static_cast<uint64_t>(choice.place) << 32;
  made.data[2] = problem.hash();
  made.data[3] = choice.alignments[0] | uint64_t{choice.alignments[1]} << 32;
  made.data[4] = choice.alignments[2] | uint64_t{choice.alignments[3]} << 32;
  made.data[5] = choice.workspace_bytes;
  made.data[6] = static_cast<uint64_t>(version);
  made.data[7] = checksum(made);
  return made;
}

bool decode(const Algorithm& algorithm, const Problem& problem, int64_t version, Choice* choice, std::string* why) {
  const uint64_t* data = algorithm.data;
  *why = data[0] != magic || data[7] != checksum(algorithm) ? "the algorithm is none of this library's, or damaged"
         : data[6] != static_cast<uint64_t>(version)        ? "the algorithm is of another version of the library"
         : data[2] != problem.hash()                        ? "the algorithm was given for another problem"
                                                            : "";
  if (!why->empty()) return false;
  choice->id = static_cast<int>(data[1] & 0xffff'ffff);
  choice->place = static_cast<int>(data[1] >> 32);
  for (int i = 0; i < 4; ++i) choice->alignments[i] = static_cast<uint32_t>(data[3 + i / 2] >> (32 * (i % 2)));
  choice->workspace_bytes = data[5];
  return true;
}

}  // namespace cublaslt_emulator
