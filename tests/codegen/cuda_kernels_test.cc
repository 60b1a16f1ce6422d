// Every op x dtype of the table as CUDA C++: compiled by NVRTC for several architectures, where NVRTC is installed;
// registered from the table.
#include <cstdlib>

#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/codegen/strategy.h"

namespace placewright::testing {
namespace {

bool full_counts() { return std::getenv("PLACEWRIGHT_FULL_COUNTS") != nullptr; }

// All cases, or a few that are spread over them.
std::vector<DerivedCase> cases_of(const OpEntry& entry) {
  std::vector<DerivedCase> all = derived_cases(entry), some;
  constexpr size_t wanted = 3;
  if (full_counts() || all.size() <= wanted) return all;
  for (size_t i = 0; i < wanted; ++i) some.push_back(all[(i + 1) * all.size() / (wanted + 1)]);
  return some;
}

CudaText text_of(const std::vector<DerivedCase>& cases) {
  std::vector<StructuredKernel> kernels;
  std::vector<Schedule> schedules;
  for (size_t i = 0; i < cases.size(); ++i) {
    kernels.push_back(collapse_dimensions(lower_op(cases[i].view())));
    kernels.back().name = "k" + std::to_string(i);
    schedules.push_back(choose_grid_schedule(kernels.back()));
  }
  return emit_cuda_text(kernels, schedules);
}

class CudaCubins : public ::testing::Test {
 public:
  CudaCubins(const OpEntry& entry, std::vector<std::string> targets) : entry_(entry), targets_(std::move(targets)) {}

  void TestBody() override {
    std::vector<std::string> reasons;
    if (!Nvrtc::try_open(&reasons)) GTEST_SKIP() << "no NVRTC: " << join(reasons, "; ");
    std::vector<DerivedCase> cases = cases_of(entry_);
    if (cases.empty()) return;
    CudaText text = text_of(cases);
    for (const std::string& target : targets_) {
      CudaImage made = compile_cuda_text(text, target);
      EXPECT_EQ(made.image.format, "cubin");
      size_t phases = 0;
      for (const KernelEntry& entry : made.image.entries) phases += entry.phases.size();
      EXPECT_EQ(made.resources.size(), phases) << "resources of each phase";
      for (const CudaResources& each : made.resources) {
        EXPECT_GT(each.registers, 0) << each.symbol;
        EXPECT_EQ(each.spill_store_bytes + each.spill_load_bytes, 0) << each.symbol << " spills for " << target;
      }
    }
  }

 private:
  const OpEntry& entry_;
  std::vector<std::string> targets_;
};

const bool registered = [] {
  const std::vector<std::string> targets{"sm_80", "sm_90", "sm_100"};
  size_t number = 0;
  for (const OpEntry& entry : op_table()) {
    if (!can_lower(entry)) continue;
    std::vector<std::string> mine = full_counts() ? targets : std::vector<std::string>{targets[number++ % 3]};
    ::testing::RegisterTest("CudaCubins", std::string(entry.name).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [&entry, mine]() -> ::testing::Test* { return new CudaCubins(entry, mine); });
  }
  return true;
}();

}  // namespace
}  // namespace placewright::testing
