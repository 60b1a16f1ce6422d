// The gradient of every op on an emulated NVIDIA GPU, registered from the op table: expanded, placed, compiled by
// NVRTC, run as PTX, against the evaluator.
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "frontend/emulated_gpu.h"
#include "gradient_graph.h"
#include "placewright/ir/evaluate.h"
#include "placewright/passes/pass.h"
#include "placewright/placewright.h"
#include "placewright/run_graph.h"

namespace placewright::testing {
namespace {

constexpr double allowed = 1e-9;  // f64, sums in another order, functions of other libraries

int64_t elements(const DerivedCase& each) {
  int64_t count = 0;
  for (const Type& operand : each.operands) count += operand.tensor().elements();
  return count;
}

// All cases that are differentiable, or the smallest of them that has an element.
std::vector<DerivedCase> gradient_cases(const OpEntry& entry) {
  std::vector<DerivedCase> all;
  for (DerivedCase& each : derived_cases(entry))
    if (each.differentiable) all.push_back(std::move(each));
  if (full_counts() || all.size() < 2) return all;
  const DerivedCase* smallest = nullptr;
  for (const DerivedCase& each : all)
    if (elements(each) > 1 && (!smallest || elements(each) < elements(*smallest))) smallest = &each;
  return {smallest ? *smallest : all.front()};
}

// Forward ops are pinned, and gradients follow them.
void pin_all(Graph& graph, const DeviceId& device) {
  for (Function& function : graph.functions)
    for (Op& op : function.ops)
      if (!op.is("input") && !op.is("gradient")) op.pin = Pin{device, {}};
}

void expect_gradients(const DerivedCase& each) {
  SCOPED_TRACE(each.name);
  GradientGraph made = make_gradient_graph(each, std::vector<Reach>(each.operands.size(), Reach::plain));
  const std::vector<HostTensor> expected = evaluate(differentiate(made.graph, {}), made.inputs).results;
  pin_all(made.graph, {"cuda", 0});
  std::map<std::string, HostTensor> inputs;
  for (size_t i = 0; i < made.inputs.size(); ++i) inputs.emplace("x" + std::to_string(i), made.inputs[i]);
  GraphRun run = run_graph(made.graph, inputs);
  std::set<std::string> devices;
  for (const OpPlacement& op : run.plan.ops)
    for (const DeviceId& device : op.where.devices) devices.insert(device.to_string());
  EXPECT_TRUE(devices.contains("cuda:0")) << print_plan(run.plan);
  ASSERT_EQ(run.results.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(mismatch(run.results[i], expected[i], allowed), "") << i;
}

class CudaGradients : public EmulatedGpu {
 public:
  explicit CudaGradients(const OpEntry& entry) : entry_(entry) {}

 protected:
  void TestBody() override {
    for (const DerivedCase& each : gradient_cases(entry_)) expect_gradients(each);
  }

 private:
  const OpEntry& entry_;
};

const bool registered = [] {
  for (const OpEntry& entry : op_table())
    if (!entry.is_structural() && entry.gradient.kind() != Gradient::Kind::not_differentiable)
      ::testing::RegisterTest("CudaGradients", std::string(entry.name).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                              [&entry]() -> ::testing::Test* { return new CudaGradients(entry); });
  return true;
}();

}  // namespace
}  // namespace placewright::testing
