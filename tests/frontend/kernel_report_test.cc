// What the report of a compiled function says of its kernels, from images as a compiler that reports resources gives.
#include "placewright/kernel_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../../frontend/program_bytes.h"
#include "placewright/ir/kernel.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

// Two launches of one entry of two phases, and an image whose compiler says nothing.
CompiledProgram make_program() {
  CompiledProgram made;
  Block block;
  for (const char* origin : {"fc at train.cc:3", "fc at train.cc:4"}) {
    Launch launch;
    launch.entry = "k0";
    launch.origin = origin;
    block.instructions.emplace_back(launch);
  }
  made.program.blocks.push_back(block);
  KernelImage image{"cubin", "sm_90", kernel_abi_version, {1, 2, 3}, {}};
  KernelPhase first{.symbol = "k0_0", .groups = {1200, 1, 1}, .group_threads = {128, 1, 1}};
  KernelPhase second{.symbol = "k0_1", .groups = {1, 1, 1}, .group_threads = {32, 1, 1}};
  image.entries = {{"k0", {first, second}, {}}};
  image.resources = {{"k0_0", 40, 36864, 0, 0, 0, 1024, 2048, "shared memory"}, {"k0_1", 255, 0, 16, 8, 12, 0, 0, ""}};
  made.images = {{"elf-x86-64", "x86-64-v3", kernel_abi_version, {}, {{"k1", {}, {}}}}, image};
  return made;
}

// Each field another value.
Contraction make_contraction() {
  Contraction made;
  made.precision = Precision::tf32;
  made.batch = 2, made.rows = 3, made.columns = 4, made.depth = 5;
  made.left = {0, 6, 7, 1, 8};
  made.right = {1, 9, 1, 10, 11};
  made.result = {3, 12, 13, 1, 14};
  made.scale = 0.125;
  made.bias = 2;
  made.activation = Contraction::Activation::relu;
  return made;
}

std::vector<KernelReport> reports(const CompiledProgram& compiled) {
  std::vector<KernelReport> all;
  for (size_t i = 0; i < compiled.images.size(); ++i)
    for (KernelReport& each : report_kernels(compiled.program, compiled.images[i], static_cast<int32_t>(i)))
      all.push_back(std::move(each));
  return all;
}

TEST(KernelReport, HasALineForEachPhase) {
  EXPECT_THAT(kernel_lines(reports(make_program())),
              ElementsAre("Kernels: of a thread, of a group, and of what a multiprocessor holds",
                          "  k0_0: fc at train.cc:3, fc at train.cc:4, 1,200 groups of 128 threads",
                          "    sm_90    40 registers, 36,864 B shared, occupancy  50% (shared memory)",
                          "  k0_1: fc at train.cc:3, fc at train.cc:4, 1 group of 32 threads",
                          "    sm_90   255 registers,      0 B shared, spills 8 B and reads 12 B back"));
  EXPECT_TRUE(kernel_lines({}).empty());
}

TEST(KernelReport, SaysWhatALibraryMayRun) {
  CompiledProgram compiled = make_program();
  compiled.images[1].entries[0].contraction = make_contraction();
  EXPECT_EQ(
      kernel_lines(reports(compiled))[2],
      "    a product of matrices, 2 x 3 x 4 x 5 f32 (tf32), right transposed, times 0.125, bias, relu: a library may "
      "run it where it is faster");
}

// What goes on with a product's result is a kernel of its own, and has its lines.
TEST(KernelReport, SaysWhatGoesOnWithALibrarysProduct) {
  CompiledProgram compiled = make_program();
  KernelImage& image = compiled.images[1];
  image.entries[0].contraction = make_contraction();
  image.entries[0].rest = {KernelPhase{.symbol = "k0_rest_0", .groups = {7, 1, 1}, .group_threads = {64, 1, 1}}};
  image.resources.push_back({"k0_rest_0", 12, 0, 0, 0, 0, 2048, 2048, "threads"});
  const std::vector<std::string> lines = kernel_lines(reports(compiled));
  EXPECT_EQ(
      lines[2],
      "    begins with a product of matrices, 2 x 3 x 4 x 5 f32 (tf32), right transposed, times 0.125, bias, relu: "
      "a library may run it where that and k0_rest_0 are faster");
  ASSERT_EQ(lines.size(), 9u);
  EXPECT_EQ(lines[7], "  k0_rest_0: fc at train.cc:3, fc at train.cc:4, 7 groups of 64 threads");
  EXPECT_EQ(lines[8], "    sm_90    12 registers,      0 B shared, occupancy 100% (threads)");
}

TEST(KernelReport, IsKeptWithTheProgram) {
  KeptProgram kept;
  kept.compiled = make_program();
  const KernelPhase rest{.symbol = "k2_rest_0", .extent = 2, .grain = 3, .groups = {4, 5, 6}, .shared_bytes = 7};
  kept.compiled.images[1].entries.push_back({"k2", {}, {}, make_contraction(), {rest, rest}, {3, 5}});
  kept.compiled.program = {};  // its text form is another's test
  const std::vector<uint8_t> bytes = to_bytes(kept);
  const std::optional<KeptProgram> read = try_from_bytes(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->compiled.images, kept.compiled.images);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(try_from_bytes(std::span(bytes).first(size)).has_value()) << size;
}

// A compiled function's own report ends with it.
class Reported final : public Specialisation {
 public:
  const Graph& captured() const override { return graph_; }
  const Graph& placed() const override { return graph_; }
  const PlacementPlan& placement() const override { return plan_; }
  const Program& program() const override { return program_; }
  const std::vector<KernelReport>& kernels() const override { return kernels_; }
  std::vector<DeviceNeed> memory() const override { return {}; }
  double compile_seconds() const override { return 0; }
  bool from_cache() const override { return false; }
  const std::vector<std::string>& notices() const override { return notices_; }
  int64_t planned_step_bytes() const override { return 0; }
  int64_t step_transfer_bytes() const override { return 0; }
  int64_t load_transfer_bytes() const override { return 0; }
  int64_t read_back_bytes() const override { return 0; }
  int64_t steps_at_once() const override { return 0; }
  const std::string& why_piecewise() const override { return why_; }

  std::vector<KernelReport> kernels_;

 private:
  Graph graph_;
  PlacementPlan plan_;
  Program program_;
  std::vector<std::string> notices_;
  std::string why_;
};

TEST(KernelReport, EndsThePlacementReport) {
  Reported reported;
  const std::string without = placement_report(reported);
  reported.kernels_ = reports(make_program());
  const std::string with = placement_report(reported);
  EXPECT_EQ(with.substr(0, without.size()), without);
  EXPECT_THAT(with, EndsWith("    sm_90   255 registers,      0 B shared, spills 8 B and reads 12 B back\n"));
}

}  // namespace
}  // namespace placewright
