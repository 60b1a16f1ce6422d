// Plan files followed by compiled functions: what runs is what the file says, and gives the same numbers.
#include "placewright/plan_files.h"

#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;

class PlanFilesOfPrograms : public ::testing::Test {
 protected:
  PlanFilesOfPrograms() {
    configure({.devices = "cpu,sim:2", .cache_directory = path_ + ".cache", .notice = [](std::string_view) {}});
  }
  ~PlanFilesOfPrograms() override {
    configure({});
    std::filesystem::remove(path_);
    std::filesystem::remove_all(path_ + ".cache");
  }

  static Tensor compute(const Tensor& x) { return tanh(matmul(x, x) * 0.125) + x; }
  CompiledFunction compiled(const std::string& plan_file) {
    return compile([](const Tensor& x) { return compute(x); }, {.name = "compute", .plan_file = plan_file});
  }
  // The plan of the program with this op on this device, as a user would edit it.
  void write_with_pin(const PlanFile& plan, const std::string& op, const char* device) {
    PlanFile edited = plan;
    for (PlanFile::Row& row : edited.rows)
      if (row.key.ends_with(":" + op)) {
        row.devices = {parse_device(device)};
        row.cause = "pin";
      }
    write_file_atomically(path_, print_plan_file(edited));
  }

  std::string path_ =
      (std::filesystem::temp_directory_path() / ("plan_files_test." + std::to_string(getpid()))).string();
  Tensor x_ = Tensor(HostTensor::from<float>({2, 2}, {1, 2, 3, 4}));
};

TEST_F(PlanFilesOfPrograms, APinInTheFileMovesWhatRuns) {
  CompiledFunction plain = compiled("");
  HostTensor expected = plain(x_).value();
  PlanFile plan = make_plan_file(plain.last());
  ASSERT_FALSE(plan.rows.empty());
  EXPECT_TRUE(plan.proof);
  for (const char* device : {"sim:0", "sim:1", "cpu:0"}) {
    write_with_pin(plan, "tanh", device);
    for (bool again : {false, true}) {  // the second time from the cache
      CompiledFunction pinned = compiled(path_);
      EXPECT_TRUE(pinned(x_).value().same_bytes(expected));
      EXPECT_EQ(pinned.last().from_cache(), again);
      EXPECT_EQ(pinned.last().step_transfer_bytes(), pinned.last().planned_step_bytes());
      PlanFile made = make_plan_file(pinned.last());
      for (const PlanFile::Row& row : made.rows)
        EXPECT_EQ(row.devices[0].to_string(), row.key.ends_with(":tanh") ? device : "cpu:0") << row.key;
    }
  }
}

TEST_F(PlanFilesOfPrograms, FilesThatCannotHoldAreRefusedBeforeAnythingRuns) {
  CompiledFunction plain = compiled("");
  plain(x_);
  auto refusal = [&] {
    try {
      compiled(path_)(x_);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  write_with_pin(make_plan_file(plain.last()), "tanh", "sim:5");
  EXPECT_THAT(refusal(), HasSubstr("is pinned to sim:5, which this machine does not have"));
  write_file_atomically(path_, "placewright plan 1\nmodel");
  EXPECT_THAT(refusal(), HasSubstr(path_ + ":2:6: found 'the end', expected the model's name"));
  std::filesystem::remove(path_);
  EXPECT_THAT(refusal(), HasSubstr("No such file"));
}

TEST_F(PlanFilesOfPrograms, AGraphIsRunByItsPlan) {
  CompiledFunction plain = compiled("");
  HostTensor expected = plain(x_).value();
  write_with_pin(make_plan_file(plain.last()), "tanh", "sim:1");
  PlanFile plan = read_plan_file(path_);
  GraphRun run = run_graph(plain.last().captured(), {{"argument0", x_.value()}}, &plan);
  EXPECT_TRUE(run.results[0].same_bytes(expected));
  EXPECT_EQ(run.step_transfer_bytes, run.plan.bytes_per_step);
  EXPECT_EQ(run.step_transfer_bytes, 2 * 16);
}

}  // namespace
}  // namespace placewright
