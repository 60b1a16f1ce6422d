// Sums of products whose factors may be rounded, as matrix units compute them.
#pragma once

#include <string_view>
#include <vector>

#include "derived_cases.h"

namespace placewright::testing {

Attributes contracting(int64_t left, int64_t right);
DerivedCase rounded(std::string_view op, const Shape& left, const Shape& right, Attributes attributes,
                    Precision precision = Precision::tf32);
// All that `choose_matrix_tiles` takes: products and convolutions with their gradients, of sizes that tiles divide and
// of others.
std::vector<DerivedCase> matrix_cases(Precision precision);

}  // namespace placewright::testing
