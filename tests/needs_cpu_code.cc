#include "needs_cpu_code.h"

#include <string>

#include <gtest/gtest.h>

#include "placewright/codegen/emitter.h"

namespace placewright::testing {
namespace {

class SkipWithoutCpuCode : public ::testing::EmptyTestEventListener {
 public:
  SkipWithoutCpuCode(std::vector<std::string_view> names, std::string absence)
      : names_(std::move(names)), absence_(std::move(absence)) {}

  void OnTestProgramStart(const ::testing::UnitTest& all) override {
    for (std::string_view name : names_) {
      bool is_known = false;
      for (int s = 0; s < all.total_test_suite_count(); ++s)
        for (int t = 0; t < all.GetTestSuite(s)->total_test_count(); ++t)
          is_known = is_known || means(name, *all.GetTestSuite(s)->GetTestInfo(t));
      EXPECT_TRUE(is_known) << name << " needs code for the processor, it is said, but there is no such test";
    }
  }

  // Before the test's object is made.
  void OnTestStart(const ::testing::TestInfo& test) override {
    for (std::string_view name : names_)
      if (means(name, test)) GTEST_SKIP() << absence_;
  }

 private:
  static bool means(std::string_view name, const ::testing::TestInfo& test) {
    const std::string suite = test.test_suite_name();
    return name == suite + ".*" || name == suite + "." + test.name();
  }

  std::vector<std::string_view> names_;
  std::string absence_;
};

}  // namespace

bool skip_without_cpu_code(std::vector<std::string_view> names) {
  if (std::string absence = missing_emitter(); !absence.empty())
    ::testing::UnitTest::GetInstance()->listeners().Append(
        new SkipWithoutCpuCode(std::move(names), std::move(absence)));  // GoogleTest deletes it
  return true;
}

}  // namespace placewright::testing
