// Every op x dtype of the table through schedule, loops, LLVM and loader, against `evaluate`; registered from the
// table.
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "run_kernel.h"

namespace placewright::testing {
namespace {

class DerivedKernels : public ::testing::Test {
 public:
  DerivedKernels(const OpEntry& entry, std::string level, bool check_bounds)
      : entry_(entry), level_(std::move(level)), check_bounds_(check_bounds) {}

  void TestBody() override {
    std::vector<DerivedCase> cases = derived_cases(entry_);
    std::vector<StructuredKernel> kernels;
    for (const DerivedCase& each : cases) kernels.push_back(lower_op(each.view()));
    if (kernels.empty()) return;
    EmitOptions options;
    options.check_bounds = check_bounds_;
    KernelImage image = compile_kernels(kernels, named_cpu_target(level_), options);
    for (size_t i = 0; i < cases.size(); ++i) check(cases[i], image, i);
  }

 private:
  void check(const DerivedCase& each, const KernelImage& image, size_t number) {
    std::vector<HostTensor> operands = make_operands(each), expected = evaluate_case(each, operands);
    std::vector<HostTensor> buffers = operands;
    for (HostTensor& buffer : buffers) buffer = buffer.clone();
    for (const HostTensor& result : expected) buffers.emplace_back(result.dtype(), result.sizes());
    EXPECT_EQ(run_entry(image, number, buffers), Status::ok) << each.name;
    for (size_t r = 0; r < expected.size(); ++r)
      EXPECT_EQ(mismatch(buffers[operands.size() + r], expected[r], tolerance(entry_, expected[r].dtype())), "")
          << each.name << " result " << r;
  }

  const OpEntry& entry_;
  std::string level_;
  bool check_bounds_;
};

// What this processor runs, the best level first.
std::vector<std::string> levels() {
  int bits = host_cpu_target().vector_bits;
  std::vector<std::string> levels{"x86-64-v2"};
  if (bits >= 256) levels.insert(levels.begin(), "x86-64-v3");
  if (bits >= 512) levels.insert(levels.begin(), "x86-64-v4");
  return levels;
}

const bool registered = [] {
  for (const std::string& level : levels())
    for (const OpEntry& entry : op_table()) {
      if (!can_lower(entry)) continue;
      std::string name(entry.name);
      ::testing::RegisterTest(
          ("DerivedKernels_" + level.substr(7)).c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
          [&entry, level]() -> ::testing::Test* { return new DerivedKernels(entry, level, false); });
      if (level != levels().front()) continue;
      ::testing::RegisterTest("DerivedKernels_checked", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                              [&entry, level]() -> ::testing::Test* { return new DerivedKernels(entry, level, true); });
    }
  return true;
}();

}  // namespace
}  // namespace placewright::testing
