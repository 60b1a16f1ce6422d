// Runs PTX of a test's own on the emulator: one kernel, on arrays of the test.
#pragma once

#include <string>
#include <vector>

#include "library/machine.h"

namespace cuda_emulator {

struct Grid {
  Sizes3 groups{1, 1, 1}, threads{32, 1, 1};
  uint32_t dynamic_shared = 0;
};

class PtxRun {
 public:
  // The kernel's parameters are the arrays, in the order of their making.
  template <class T>
  int array(const std::vector<T>& values) {
    addresses_.push_back(memory_.allocate(std::max<size_t>(values.size() * sizeof(T), 1)));
    if (!values.empty()) std::memcpy(bytes(values.size() * sizeof(T)), values.data(), values.size() * sizeof(T));
    return static_cast<int>(addresses_.size()) - 1;
  }
  template <class T>
  std::vector<T> values(int array, size_t count) const {
    std::vector<T> found(count);
    std::memcpy(found.data(), memory_.find(addresses_[static_cast<size_t>(array)], count * sizeof(T), nullptr),
                count * sizeof(T));
    return found;
  }
  // Fault if the kernel does wrong.
  void run(const std::string& text, const Grid& grid = {}) {
    module_ = parse_ptx(
        text,
        [](const GlobalVariable& variable, void* self) {
          Memory& memory = static_cast<PtxRun*>(self)->memory_;
          uint64_t address = memory.allocate(variable.bytes.size());
          std::memcpy(memory.find(address, variable.bytes.size(), nullptr), variable.bytes.data(),
                      variable.bytes.size());
          return address;
        },
        this);
    LaunchFacts facts{&module_, &module_.kernels.begin()->second, grid.groups, grid.threads, grid.dynamic_shared, {}};
    facts.parameters.resize(addresses_.size() * 8);
    std::memcpy(facts.parameters.data(), addresses_.data(), facts.parameters.size());
    run_kernel(memory_, facts);
  }

 private:
  uint8_t* bytes(size_t count) { return memory_.find(addresses_.back(), count, nullptr); }
  Memory memory_;
  Module module_;
  std::vector<uint64_t> addresses_;
};

// The message of the fault that running the text ends with; empty if it ends well.
template <class Body>
std::string fault_of(Body body) {
  try {
    body();
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

}  // namespace cuda_emulator
