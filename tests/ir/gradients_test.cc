// Gradients of contractions, windows, activations, normalisations, losses and composites against central differences,
// at every sample of their entries.
#include <gtest/gtest.h>

#include "ir/op_testing.h"

namespace placewright::testing {
namespace {

void check_gradients(const OpEntry& entry, const Sample& sample, size_t number) {
  std::string where = std::string(entry.name) + ", sample " + std::to_string(number);
  OpCase each = random_case(entry.name, sample, DType::f64, number + 7);
  HostTensor cotangent = random_tensor(DType::f64, evaluate_op(each)[0].sizes(), 99);
  std::vector<std::optional<HostTensor>> gradients = evaluate_gradients(each, cotangent);
  for (size_t i = 0; i < each.operands.size(); ++i) {
    if (!is_floating(each.operands[i].dtype()) || each.operands[i].elements() > 400) continue;
    HostTensor expected = difference_gradient(each, cotangent, i);
    HostTensor found = gradients[i] ? *gradients[i] : HostTensor(DType::f64, each.operands[i].sizes());
    expect_near(found, expected, 1e-5, where + ", operand " + std::to_string(i));
  }
}

TEST(Gradients, EqualDifferences) {
  int tried = 0;
  for (const OpEntry& entry : op_table()) {
    if (entry.gradient.kind() == Gradient::Kind::not_differentiable || entry.is_structural()) continue;
    for (size_t i = 0; i < entry.samples.size(); ++i)
      if (entry.samples[i].differentiable_here) check_gradients(entry, entry.samples[i], i), ++tried;
  }
  EXPECT_GT(tried, 120);
}

}  // namespace
}  // namespace placewright::testing
