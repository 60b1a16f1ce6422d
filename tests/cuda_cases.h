// Cases of CUDA tests: derived ones, a few or all of them, and large ones that the strategies for tiles, rows and
// vectors take; what runs and compiles them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "derived_cases.h"
#include "placewright/codegen/cuda/cuda_code.h"

namespace placewright::testing {

// Whether all cases are wanted ($PLACEWRIGHT_FULL_COUNTS), or a few of each op.
bool full_counts();
std::vector<DerivedCase> cuda_cases(const OpEntry& entry);
// Numbers between -1 and 1, integers from 0 to 100.
DerivedCase large_case(std::string_view op, std::vector<Type> operands, Attributes attributes);
// Of sizes that tiles, rows, vectors and tails of them come up in.
std::vector<DerivedCase> large_cuda_cases();
// Reductions of rows and of columns, short and long, and operands for them: each row from a few numbers of its own, NaN
// among others, zeros of both signs, infinities.
std::vector<DerivedCase> reductions_of_rows();
std::vector<HostTensor> special_rows(const DerivedCase& each);
// Kernels k0, k1 ... of the cases, each with its schedule.
CudaText cuda_text(const std::vector<DerivedCase>& cases);
std::vector<Schedule> cuda_schedules(const std::vector<DerivedCase>& cases);
// Why NVRTC cannot be used; empty if it can.
std::string nvrtc_absence();

}  // namespace placewright::testing
