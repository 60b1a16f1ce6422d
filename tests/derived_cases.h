// Cases derived from the op table: every op with every dtype that it takes, on its samples (elementwise ops without
// samples get shapes made up here) and on special values. Whoever realises ops runs the same cases: the kernel
// interpreter, code generators, devices.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "placewright/ir/op_table.h"

namespace placewright::testing {

struct DerivedCase {
  std::string name;  // "reduce_sum(f32[3,4]) dims=[1]": unique in its op
  const OpEntry* entry = nullptr;
  std::vector<Type> operands;
  Attributes attributes;  // complete
  std::vector<Type> results;
  std::vector<std::pair<double, double>> ranges;  // of each operand's values
  bool special_values = false;  // operands hold all combinations of NaN, infinities, zeros, integer limits ...
  bool differentiable = false;  // f64, with a gradient, at values where finite differences tell

  OpView view() const { return {*entry, operands, results, attributes}; }
};

// All cases of one op; none for structural ops.
std::vector<DerivedCase> derived_cases(const OpEntry& entry);
// The same values for the same case, always.
std::vector<HostTensor> make_operands(const DerivedCase& each);
// What the entry's `evaluate` gives.
std::vector<HostTensor> evaluate_case(const DerivedCase& each, const std::vector<HostTensor>& operands);
// A graph whose main function takes the operands and gives the op's results.
Graph make_graph(const DerivedCase& each);

// Largest error that a result of this dtype may have: the entry's tolerance, 0 for integers and bool.
double tolerance(const OpEntry& entry, DType dtype);
// Empty if the tensors agree: same dtype, sizes and infinities, NaN where NaN is expected, numbers within tolerance *
// max(1, |expected|). Else names the first element that does not.
std::string mismatch(const HostTensor& found, const HostTensor& expected, double tolerance);

// Evenly spread numbers in [low, high); integers are rounded towards zero.
HostTensor random_tensor(DType dtype, const Sizes& sizes, uint64_t seed, double low, double high);

}  // namespace placewright::testing
