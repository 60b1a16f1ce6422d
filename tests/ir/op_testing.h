// Runs one op on given operands: evaluate, the decomposition, and gradients by the entry's rule.
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
// Fails, naming the first element that differs by more than tolerance * max(1, |expected|).
void expect_near(const HostTensor& found, const HostTensor& expected, double tolerance, const std::string& where);

}  // namespace placewright::testing
