#include "mutants.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <regex>

namespace cuda_emulator {
namespace {

class Finder {
 public:
  Finder(int line, const std::string& text, std::vector<Mutant>& found) : line_(line), text_(text), found_(found) {}

  void run() {
    barrier();
    wait();
    bound();
    predicate();
    shuffle();
    initialisation();
    address();
    fragment();
  }

 private:
  void add(Mutation mutation, const std::string& after) {
    if (after != text_) found_.push_back({mutation, line_, text_, after});
  }
  void replace(Mutation mutation, const std::smatch& match, size_t group, const std::string& by) {
    std::string after = text_;
    after.replace(static_cast<size_t>(match.position(group)), static_cast<size_t>(match.length(group)), by);
    add(mutation, after);
  }

  void barrier() {
    static const std::regex pattern(R"(^\s*(@!?%p\d+\s+)?(bar|barrier)(\.\w+)*\s.*;)");
    if (std::regex_search(text_, pattern)) add(Mutation::barrier_dropped, "");
  }

  void wait() {
    static const std::regex pattern(R"(cp\.async\.wait_group (\d+);)");
    std::smatch match;
    if (std::regex_search(text_, match, pattern))
      replace(Mutation::wait_off_by_one, match, 1, std::to_string(std::atoi(match[1].str().c_str()) + 1));
  }

  void bound() {
    static const std::regex pattern(R"(^\s*setp\.\w+(\.\w+)*\s+%p\d+(?:\|%p\d+)?, %\w+, (-?\d+)\s*;)");
    std::smatch match;
    if (!std::regex_search(text_, match, pattern)) return;
    const long long value = std::atoll(match[2].str().c_str());
    for (long long other : {value - 1, value + 1}) replace(Mutation::bound_off_by_one, match, 2, std::to_string(other));
  }

  void predicate() {
    static const std::regex guard(R"(^\s*(@!?)%p\d+\s)");
    static const std::regex compare(R"(^\s*setp\.(eq|ne|lt|le|gt|ge|lo|ls|hi|hs)\.)");
    static const std::map<std::string, std::string> others = {{"eq", "ne"}, {"ne", "eq"}, {"lt", "le"}, {"le", "lt"},
                                                              {"gt", "ge"}, {"ge", "gt"}, {"lo", "ls"}, {"ls", "lo"},
                                                              {"hi", "hs"}, {"hs", "hi"}};
    std::smatch match;
    if (std::regex_search(text_, match, guard))
      replace(Mutation::wrong_predicate, match, 1, match[1].str() == "@" ? "@!" : "@");
    if (std::regex_search(text_, match, compare)) replace(Mutation::wrong_predicate, match, 1, others.at(match[1]));
  }

  // Lanes and masks stand in registers in NVRTC's text; a number in their place is an operand like any other.
  void shuffle() {
    static const std::regex pattern(R"(shfl\.sync\.\w+\.b32\s+\S+, %\w+, (%?\w+), (%?\w+), (-?%?\w+);)");
    std::smatch match;
    if (!std::regex_search(text_, match, pattern)) return;
    for (const char* lane : {"0", "3"}) replace(Mutation::shuffle_changed, match, 1, lane);
    replace(Mutation::shuffle_changed, match, 3, "65535");
  }

  void initialisation() {
    static const std::regex pattern(R"(^\s*mov\.[bsuf]\d+\s+%\w+, (-?\d+|0[fd][0-9A-Fa-f]+)\s*;)");
    if (std::regex_search(text_, pattern)) add(Mutation::initialisation_missing, "");
  }

  void address() {
    static const std::regex access(
        R"(^\s*(?:@!?%p\d+\s+)?(?:ld|st)\.(?:global|shared)(?:\.\w+)*?(?:\.v\d)?\.[bsuf](\d+)\s)");
    static const std::regex copy(R"(cp\.async\.\w+\.shared\.global \[.*\], \[.*\], (\d+))");
    static const std::regex place(R"(\[(%?\w+)(\+-?\d+)?\])");
    std::smatch match;
    long long bytes = 0;
    if (std::regex_search(text_, match, access))
      bytes = std::atoll(match[1].str().c_str()) / 8;
    else if (std::regex_search(text_, match, copy))
      bytes = std::atoll(match[1].str().c_str());
    for (std::sregex_iterator at(text_.begin(), text_.end(), place), end; bytes > 0 && at != end; ++at) {
      const long long offset = (*at)[2].matched ? std::atoll((*at)[2].str().c_str() + 1) : 0;
      auto put = [&](Mutation mutation, long long by) {
        std::string after = text_;
        after.replace(static_cast<size_t>(at->position(0)), static_cast<size_t>(at->length(0)),
                      "[" + (*at)[1].str() + "+" + std::to_string(offset + by) + "]");
        add(mutation, after);
      };
      if (bytes > 1) put(Mutation::misaligned_address, bytes / 2);
      put(Mutation::element_beside, bytes);
    }
  }

  // Registers of one fragment: neighbouring rows, neighbouring parts of the depth, neighbouring columns.
  void fragment() {
    static const std::regex pattern(
        R"(mma\.sync\S+ \{(%\w+), (%\w+), %\w+, %\w+\}, \{(%\w+), (%\w+), (%\w+), %\w+\}, \{(%\w+), (%\w+)\})");
    std::smatch match;
    if (!std::regex_search(text_, match, pattern)) return;
    for (const auto& [first, second] : {std::pair<size_t, size_t>{1, 2}, {3, 4}, {4, 5}, {6, 7}}) {
      std::string after = text_;
      after.replace(static_cast<size_t>(match.position(second)), static_cast<size_t>(match.length(second)),
                    match[first].str());
      after.replace(static_cast<size_t>(match.position(first)), static_cast<size_t>(match.length(first)),
                    match[second].str());
      add(Mutation::fragment_exchanged, after);
    }
  }

  int line_;
  const std::string& text_;
  std::vector<Mutant>& found_;
};

}  // namespace

std::string name(Mutation mutation) {
  switch (mutation) {
    case Mutation::barrier_dropped:
      return "barrier dropped";
    case Mutation::wait_off_by_one:
      return "wait count off by one";
    case Mutation::bound_off_by_one:
      return "bound off by one";
    case Mutation::wrong_predicate:
      return "wrong predicate";
    case Mutation::shuffle_changed:
      return "shuffle changed";
    case Mutation::initialisation_missing:
      return "initialisation missing";
    case Mutation::misaligned_address:
      return "misaligned address";
    case Mutation::element_beside:
      return "element beside";
    case Mutation::fragment_exchanged:
      return "fragment exchanged";
  }
  return "";
}

std::vector<Mutant> find_mutants(const std::vector<std::string>& lines, const std::vector<uint64_t>& outcomes) {
  std::vector<Mutant> found;
  for (size_t i = 0; i < lines.size(); ++i)
    if (i + 1 < outcomes.size() && outcomes[i + 1] != 0) Finder(static_cast<int>(i + 1), lines[i], found).run();
  return found;
}

std::string mutated(const std::vector<std::string>& lines, const Mutant& mutant) {
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i)
    text += (static_cast<int>(i) + 1 == mutant.line ? mutant.after : lines[i]) + "\n";
  return text;
}

}  // namespace cuda_emulator
