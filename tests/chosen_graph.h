// What the makers of random graphs share: choices that are the same for the same seed everywhere, and the numbers that
// a graph's values have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/host_tensor.h"

namespace placewright::testing {

class Chooser {
 public:
  explicit Chooser(uint64_t seed) : state_(seed) {}
  uint64_t next() {  // splitmix64
    uint64_t bits = state_ += 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
  }
  size_t below(size_t count) { return static_cast<size_t>(next() % count); }
  bool one_in(size_t count) { return below(count) == 0; }
  template <typename T>
  const T& of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

 private:
  uint64_t state_;
};

// The results of the ops that `numbers` does not have yet, appended; `inputs` in the order of the function's.
void compute_numbers(const Function& function, const std::vector<HostTensor>& inputs,
                     std::vector<std::vector<HostTensor>>& numbers);

}  // namespace placewright::testing
