// Runs one op in the ways that tests compare: evaluate, the decomposition, and gradients by the entry's rule or by
// differences.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"

namespace placewright::testing {

// An op on concrete operands.
struct OpCase {
  std::string op;
  std::vector<HostTensor> operands;
  Attributes attributes = {};
};

std::vector<HostTensor> evaluate_op(const OpCase& each);
// The entry's decomposition, evaluated.
std::vector<HostTensor> evaluate_decomposition(const OpCase& each);
// The gradients of sum(first result * cotangent); nothing for operands that are not floating or that have none.
std::vector<std::optional<HostTensor>> evaluate_gradients(const OpCase& each, const HostTensor& cotangent);
// The same for one operand, by central differences of evaluate_op.
HostTensor difference_gradient(const OpCase& each, const HostTensor& cotangent, size_t operand);

// Values in [low, high), the same for the same seed.
HostTensor random_tensor(DType dtype, Sizes sizes, uint64_t seed, double low = -2, double high = 2);
// Operands of a sample, with `floating` for its floating dtypes.
OpCase random_case(std::string_view op, const Sample& sample, DType floating, uint64_t seed);

// Fails, naming the first element that differs by more than tolerance * max(1, |expected|).
void expect_near(const HostTensor& found, const HostTensor& expected, double tolerance, const std::string& where);

}  // namespace placewright::testing
