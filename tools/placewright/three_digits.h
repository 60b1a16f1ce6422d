// The numbers of three significant digits, in order: what smallest changes are searched among, so that an answer can be
// written down, applied, and is exact.
#pragma once

#include <cstdint>
#include <string>

namespace placewright::tools {

double three_digits(int index);          // 1.00 at 0, 1.01 at 1, 10.0 at 900
int index_above(double number);          // of the smallest such number that is greater
int index_from(double number);           // of the smallest such number that is not less
std::string number_text(double number);  // "1e-08", "0.125", "50.1", "1230"; trailing zeros are left out

}  // namespace placewright::tools
