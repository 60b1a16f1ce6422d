// Every op x dtype of the table as CUDA C++: compiled by NVRTC for several architectures, and run on a CUDA device,
// which the PTX emulator stands in for, against `evaluate`; registered from the table. Skipped where NVRTC is not
// installed.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "placewright/base/error.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "run_on_cuda.h"

namespace placewright::testing {
namespace {

const std::vector<std::string> architectures{"sm_80", "sm_90", "sm_100"};

void expect_cubins(const CudaText& text, const std::vector<std::string>& targets) {
  for (const std::string& target : targets) {
    KernelImage made = compile_cuda_text(text, target);
    EXPECT_EQ(made.format, "cubin");
    size_t phases = 0;
    for (const KernelEntry& entry : made.entries) phases += entry.phases.size();
    EXPECT_EQ(made.resources.size(), phases) << "resources of each phase";
    for (const KernelResources& each : made.resources) {
      EXPECT_GT(each.registers, 0) << each.symbol;
      EXPECT_EQ(each.spill_store_bytes + each.spill_load_bytes, 0) << each.symbol << " spills for " << target;
    }
  }
}

class CudaCubins : public ::testing::Test {
 public:
  CudaCubins(const OpEntry& entry, std::vector<std::string> targets) : entry_(entry), targets_(std::move(targets)) {}

  void TestBody() override {
    if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
    std::vector<DerivedCase> cases = cuda_cases(entry_);
    if (!cases.empty()) expect_cubins(cuda_text(cases), targets_);
  }

 private:
  const OpEntry& entry_;
  std::vector<std::string> targets_;
};

// --- Running

void expect_signs(const HostTensor& found, const HostTensor& expected, const std::string& name) {
  for (int64_t i = 0; is_floating(expected.dtype()) && i < expected.elements(); ++i) {
    if (expected.number(i) != 0) continue;
    EXPECT_EQ(std::signbit(found.number(i)), std::signbit(expected.number(i))) << name << " element " << i;
  }
}

using MakeOperands = std::vector<HostTensor>(const DerivedCase&);

void expect_results(const std::vector<DerivedCase>& cases, MakeOperands* make = make_operands,
                    std::string target = "") {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  if (cases.empty()) return;
  if (target.empty()) target = cuda_devices().cuda->spec().target;
  KernelImage made = compile_cuda_text(cuda_text(cases), target);
  std::shared_ptr<const LoadedImage> image = cuda_devices().cuda->load(made);
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<HostTensor> operands = make(cases[i]), expected = evaluate_case(cases[i], operands);
    std::vector<HostTensor> buffers;
    for (const HostTensor& operand : operands) buffers.push_back(operand.clone());
    for (const HostTensor& result : expected) buffers.emplace_back(result.dtype(), result.sizes());
    EXPECT_EQ(run_on_cuda(*image, static_cast<int>(i), buffers), Status::ok) << cases[i].name;
    for (size_t r = 0; r < expected.size(); ++r)
      EXPECT_EQ(mismatch(buffers[operands.size() + r], expected[r], tolerance(*cases[i].entry, expected[r].dtype())),
                "")
          << cases[i].name << " result " << r;
    if (make == special_rows) expect_signs(buffers.back(), expected.back(), cases[i].name);
  }
}

class CudaRuns : public ::testing::Test {
 public:
  explicit CudaRuns(const OpEntry& entry) : entry_(entry) {}
  void TestBody() override { expect_results(cuda_cases(entry_)); }

 private:
  const OpEntry& entry_;
};

const bool registered = [] {
  size_t number = 0;
  for (const OpEntry& entry : op_table()) {
    if (!can_lower(entry)) continue;
    std::string name(entry.name);
    std::vector<std::string> mine =
        full_counts() ? architectures : std::vector<std::string>{architectures[number++ % architectures.size()]};
    ::testing::RegisterTest("CudaCubins", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [&entry, mine]() -> ::testing::Test* { return new CudaCubins(entry, mine); });
    ::testing::RegisterTest("CudaRuns", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [&entry]() -> ::testing::Test* { return new CudaRuns(entry); });
  }
  return true;
}();

// --- Strategies

TEST(CudaStrategies, LargeKernelsCompileWithoutSpills) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  expect_cubins(cuda_text(large_cuda_cases()), architectures);
}

TEST(CudaStrategies, LargeKernelsRun) { expect_results(large_cuda_cases()); }

// NaN wins wherever it stands, and -0 is below +0: by one thread, by lanes, by a group, and along columns.
TEST(CudaStrategies, ReductionsOfSpecialValuesRun) { expect_results(reductions_of_rows(), special_rows); }

// Before sm_80 there are neither copies ahead nor minima that see NaN.
TEST(CudaStrategies, GenerationsBeforeAmpereRunThemToo) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  const std::vector<int> known = Nvrtc::open().architectures();
  if (std::find(known.begin(), known.end(), 75) == known.end()) GTEST_SKIP() << "this NVRTC does not know sm_75";
  expect_results(large_cuda_cases(), make_operands, "compute_75");
  expect_results(reductions_of_rows(), special_rows, "compute_75");
  EXPECT_EQ(compile_cuda_text(cuda_text(reductions_of_rows()), "sm_75").format, "cubin");
}

TEST(CudaStrategies, SchedulesFitAndRoundTrip) {
  for (const Schedule& schedule : cuda_schedules(large_cuda_cases()))
    EXPECT_EQ(parse_schedule(print_schedule(schedule)), schedule);
}

// 16 x 16 lanes of one row and column each, where larger tiles would leave multiprocessors without work; one group a
// row of 4,100 numbers; four numbers a thread.
TEST(CudaStrategies, TilesRowsAndVectorsAreChosen) {
  std::vector<DerivedCase> cases = large_cuda_cases();
  std::vector<Schedule> schedules = cuda_schedules(cases);
  EXPECT_EQ(print_schedule(schedules.front()),
            "schedule {\n"
            "  stage [d0 by 16 thread, d1 by 16 thread, d0 by 1 lane, d1 by 1 lane, d2 by 16]\n"
            "  group 1 lanes 256\n"
            "  phase 1\n"
            "}\n");
  EXPECT_EQ(print_schedule(schedules[6]),
            "schedule {\n"
            "  stage [d0 by 1 thread, d1 by 4 lane] vector d1 accumulators 4\n"
            "  group 1 lanes 256\n"
            "  phase 1\n"
            "}\n");
  EXPECT_EQ(print_schedule(schedules[10]),
            "schedule {\n"
            "  stage [d0 by 32 thread, d1 by 32 thread, d0 by 4 lane, d1 by 1 lane]\n"
            "  group 1 lanes 256\n"
            "  phase 1\n"
            "}\n");
  EXPECT_EQ(print_schedule(schedules.back()),
            "schedule {\n"
            "  stage [d0 by 4 thread] vector d0\n"
            "  group 1\n"
            "  phase 1\n"
            "}\n");
}

// Lanes take neighbours when they read and when they write; a column more keeps them in different banks.
TEST(CudaText, TransposesGoThroughSharedMemory) {
  std::vector<DerivedCase> cases = large_cuda_cases();
  const std::string text = cuda_text({cases[10]}).text;
  const std::string kernel = text.substr(text.find("__global__"));
  EXPECT_THAT(kernel, ::testing::AllOf(::testing::HasSubstr("[32][33];"), ::testing::HasSubstr("__syncthreads();")));
  for (size_t i : {0, 6}) EXPECT_EQ(cuda_text({cases[i]}).text.find("[33]"), std::string::npos) << cases[i].name;
}

TEST(CudaText, FactorsOfProductsAreOnTheirWayWhileOthersAreSummed) {
  const std::string text = cuda_text({large_cuda_cases()[0]}).text;
  const std::string kernel = text.substr(text.find("__global__"));
  EXPECT_THAT(kernel,
              ::testing::AllOf(::testing::HasSubstr("[2][16][16];"), ::testing::HasSubstr("pw::copy_ahead<1>(&"),
                               ::testing::HasSubstr("pw::wait_for_copies<1>();")));
}

// Where tiles are enough a lane has 8 x 8 results: four by four neighbours, which it reads as 16 bytes. What runs
// across the tile is copied 16 bytes at once; what runs along the depth stands in rows of another length. Of a
// convolution's dimensions that is the tile's which memory runs along.
TEST(CudaText, LargeProductsReadAndCopySixteenBytes) {
  auto f32 = [](Shape shape) { return Type(DType::f32, std::move(shape)); };
  const DerivedCase product = large_case("dot_general", {f32({2048, 512}), f32({512, 2048})},
                                         {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  EXPECT_THAT(print_schedule(cuda_schedules({product})[0]),
              ::testing::HasSubstr("[d0 by 128 thread, d1 by 128 thread, d0 by 8 lane, d1 by 8 lane, d2 by 16]"));
  EXPECT_THAT(cuda_text({product}).text,
              ::testing::AllOf(::testing::HasSubstr("[2][16][132];"), ::testing::HasSubstr("[2][16][128];"),
                               ::testing::HasSubstr("pw::copy_ahead<4>(&")));
  const DerivedCase convolution =
      large_case("conv", {f32({64, 64, 56, 56}), f32({64, 64, 3, 3})},
                 {{"padding_low", Attribute(Sizes{1, 1})}, {"padding_high", Attribute(Sizes{1, 1})}});
  EXPECT_THAT(print_schedule(cuda_schedules({convolution})[0]),
              ::testing::HasSubstr("d3 by 64 thread, d1 by 64 thread, d3 by 4 lane, d1 by 4 lane"));
}

TEST(CudaStrategies, LargeTilesRun) {
  auto f32 = [](Shape shape) { return Type(DType::f32, std::move(shape)); };
  expect_results({large_case("dot_general", {f32({129, 120, 9}), f32({129, 9, 128})},
                             {{"lhs_batch", Sizes{0}},
                              {"rhs_batch", Sizes{0}},
                              {"lhs_contracting", Sizes{2}},
                              {"rhs_contracting", Sizes{1}}}),
                  large_case("conv", {f32({16, 8, 11, 60}), f32({60, 8, 3, 3})},
                             {{"padding_low", Attribute(Sizes{1, 1})}, {"padding_high", Attribute(Sizes{1, 1})}})});
}

// Embeddings' gradients: many rows are added to the same few, in order, each by one of the shares.
TEST(CudaStrategies, WhatIsAddedAtIndicesIsSharedOutByThem) {
  auto added = [](Type to, Shape indices, Type updates) {
    return large_case("scatter_add", {std::move(to), Type(DType::i64, std::move(indices)), std::move(updates)},
                      {{"dim", Attribute(int64_t{0})}});
  };
  auto f32 = [](Shape shape) { return Type(DType::f32, std::move(shape)); };
  const std::vector<DerivedCase> cases{added(f32({128, 24}), {1000}, f32({1000, 24})),
                                       added(f32({101, 3}), {5, 90}, f32({5, 90, 3})),
                                       added(f32({128}), {700}, f32({700}))};
  const std::vector<Schedule> schedules = cuda_schedules(cases);
  EXPECT_THAT(print_schedule(schedules[0]), ::testing::HasSubstr("stage [d1 by 1 thread, d0 by 1] shares 32\n"));
  EXPECT_THAT(print_schedule(schedules[1]), ::testing::HasSubstr(" shares 16\n"));
  EXPECT_THAT(print_schedule(schedules[2]), ::testing::HasSubstr(" shares 32\n"));
  for (const Schedule& schedule : schedules) EXPECT_EQ(parse_schedule(print_schedule(schedule)), schedule);
  expect_results(cases);
}

TEST(CudaStrategies, AnIndexBeyondItsRangeIsSeenByTheShareThatHasIt) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
  const std::vector<DerivedCase> cases{
      large_case("scatter_add", {Type(DType::f32, {128}), Type(DType::i64, {700}), Type(DType::f32, {700})},
                 {{"dim", Attribute(int64_t{0})}})};
  std::shared_ptr<const LoadedImage> image =
      cuda_devices().cuda->load(compile_cuda_text(cuda_text(cases), cuda_devices().cuda->spec().target));
  for (int64_t index : {int64_t{127}, int64_t{128}, int64_t{-1}}) {
    std::vector<HostTensor> buffers = make_operands(cases[0]);
    buffers[1].data<int64_t>()[699] = index;
    buffers.emplace_back(DType::f32, Sizes{128});
    EXPECT_EQ(run_on_cuda(*image, 0, buffers), index == 127 ? Status::ok : Status::index_out_of_range) << index;
  }
}

// Of more elements than 32 bits count, by one thread an element, through shared memory, in rows and in tiles.
TEST(CudaText, CountsBeyond32BitsIn64) {
  const Type tall(DType::f32, {65536, 65540}), row(DType::f32, {70000, 32}), column(DType::f32, {32, 70000});
  const std::vector<DerivedCase> cases{
      large_case("add", {tall, tall}, {}),
      large_case("transpose", {tall}, {{"permutation", Attribute(Sizes{1, 0})}}),
      large_case("reduce_max", {tall}, {{"dims", Attribute(Sizes{1})}}),
      large_case("reduce_max", {tall}, {{"dims", Attribute(Sizes{0})}}),
      large_case("dot_general", {row, column},
                 {{"lhs_contracting", Attribute(Sizes{1})}, {"rhs_contracting", Attribute(Sizes{0})}}),
      large_case("concat", {tall, tall}, {{"dim", Attribute(int64_t{0})}}),
  };
  for (const DerivedCase& each : cases) {
    const CudaText made = cuda_text({each});
    const std::string kernel = made.text.substr(made.text.find("extern \"C\""));
    EXPECT_THAT(kernel, ::testing::Not(::testing::HasSubstr("(int)iteration"))) << each.name;
    EXPECT_THAT(kernel, ::testing::Not(::testing::HasSubstr("const int i0_"))) << each.name;
    for (const KernelPhase& phase : made.entries[0].phases) {
      EXPECT_LE(phase.groups[0], 0x7fffffff) << each.name;
      EXPECT_GE(phase.groups[0], 1) << each.name;
    }
    if (nvrtc_absence().empty()) expect_cubins(made, {"sm_90"});
  }
}

TEST(CudaText, IsExact) {
  CudaText made = cuda_text({large_cuda_cases().back()});
  ASSERT_EQ(made.entries.size(), 1u);
  EXPECT_EQ(made.entries[0].phases[0].groups[0], 1);
  EXPECT_EQ(made.entries[0].phases[0].group_threads[0], 192);
  size_t begin = made.text.find("extern \"C\"");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(made.text.substr(begin),
            R"(extern "C" __global__ void __launch_bounds__(192) k0_0(float* b0, float* b1, float* b2, u64* status) {
  float* const b3 = (float*)b0;
  float* const b4 = (float*)b1;
  float* const b5 = (float*)b2;
  const i64 iteration = (i64)blockIdx.x * 192 + threadIdx.x;
  {
    const int i0_0 = ((int)iteration) * 4;
    const auto w0_1 = pw::load_vec<4>(b3 + (i0_0));
    const float v0_2 = w0_1.v[0];
    const auto w0_3 = pw::load_vec<4>(b4 + (i0_0));
    const float v0_4 = w0_3.v[0];
    const float v0_5 = pw::add(v0_2, v0_4);
    const float v0_6 = w0_1.v[1];
    const float v0_7 = w0_3.v[1];
    const float v0_8 = pw::add(v0_6, v0_7);
    const float v0_9 = w0_1.v[2];
    const float v0_10 = w0_3.v[2];
    const float v0_11 = pw::add(v0_9, v0_10);
    const float v0_12 = w0_1.v[3];
    const float v0_13 = w0_3.v[3];
    const float v0_14 = pw::add(v0_12, v0_13);
    const pw::vec<float, 4> w0_15 = {{v0_5, v0_8, v0_11, v0_14}};
    pw::store_vec(b5 + (i0_0), w0_15);
  }
}
)");
}

}  // namespace
}  // namespace placewright::testing
