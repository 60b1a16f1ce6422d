// Every op's structured kernel, run by the interpreter, against the op's definition.
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/ir/interpret_kernel.h"

namespace placewright::testing {
namespace {

void check_kernel(const DerivedCase& each) {
  StructuredKernel kernel = lower_op(each.view());
  std::vector<HostTensor> buffers = make_operands(each);
  std::vector<HostTensor> expected = evaluate_case(each, buffers);
  size_t operands = buffers.size();
  for (const HostTensor& result : expected) {
    buffers.emplace_back(result.dtype(), result.sizes());
    std::memset(buffers.back().raw(), 0xFF, static_cast<size_t>(buffers.back().bytes()));  // every element is stored
  }
  EXPECT_EQ(interpret_kernel(kernel, buffers), Status::ok);
  for (size_t i = 0; i < expected.size(); ++i) {
    double allowed = tolerance(*each.entry, expected[i].dtype());
    EXPECT_EQ(mismatch(buffers[operands + i], expected[i], allowed), "") << "result " << i;
  }
}

TEST(Kernels, EqualEvaluate) {
  int tried = 0;
  for (const OpEntry& entry : op_table()) {
    if (!can_lower(entry)) continue;
    for (const DerivedCase& each : derived_cases(entry)) {
      SCOPED_TRACE(each.name);
      check_kernel(each);
      ++tried;
    }
  }
  EXPECT_GT(tried, 500);
}

}  // namespace
}  // namespace placewright::testing
