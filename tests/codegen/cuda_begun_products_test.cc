// Launches that begin with a product of matrices, given to a device by themselves: as cuBLASLt's stand-in and a kernel
// for the rest run them on the PTX emulator, side by side in one graph.
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "begun_product.h"
#include "cuda_cases.h"
#include "placewright/codegen/code_target.h"
#include "placewright/ir/interpret_kernel.h"
#include "placewright/runtime/cuda/cuda_device.h"
#include "placewright/runtime/cuda/probe.h"
#include "placewright/runtime/device_kinds.h"
#include "run_on_cuda.h"

namespace placewright::testing {
namespace {

// Whole numbers, on which sums are exact in every order; indices from 0 to 2, and more if they may be beyond that.
std::vector<HostTensor> operands_of(const StructuredKernel& kernel, uint64_t seed, double most_index) {
  std::vector<HostTensor> made;
  for (const KernelBuffer& buffer : kernel.buffers) {
    const bool is_index = buffer.dtype == DType::i64;
    made.push_back(random_tensor(buffer.dtype, buffer.sizes, seed++, is_index ? 0 : -4, is_index ? most_index : 4));
    for (int64_t i = 0; i < made.back().elements(); ++i) made.back().set_number(i, std::floor(made.back().number(i)));
  }
  return made;
}

// One launch with memory of its own.
struct Prepared {
  Prepared(const std::shared_ptr<CudaDevice>& device, const LoadedImage& image, std::vector<HostTensor> operands)
      : buffers(std::move(operands)) {
    for (HostTensor& buffer : buffers) {
      memory.emplace_back(device, buffer.bytes(), 64, "a test's buffer");
      copy_now(memory.back().view(), host(buffer), buffer.bytes(), "operand");
      addresses.push_back(memory.back().address());
      bytes.push_back(buffer.bytes());
    }
    launch = {&image, 0, addresses.data(), bytes.data(), static_cast<int>(addresses.size()), nullptr, &status,
              0,      0, "a test's launch"};
  }
  Prepared(const Prepared&) = delete;
  static BufferView host(HostTensor& tensor) { return {cuda_devices().host.get(), tensor.raw(), tensor.bytes()}; }
  HostTensor result() {
    copy_now(host(buffers.back()), memory.back().view(), buffers.back().bytes(), "result");
    return buffers.back().clone();
  }

  std::vector<HostTensor> buffers;
  std::vector<DeviceMemory> memory;
  std::vector<void*> addresses;
  std::vector<int64_t> bytes;
  uint64_t status = 0;
  KernelLaunch launch;
};

class CudaBegunProducts : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
    if (!cuda_devices().cuda) GTEST_SKIP() << cuda_devices().absence;
    if (std::getenv("PLACEWRIGHT_LIBCUDA") != std::string(PLACEWRIGHT_CUDA_EMULATOR))
      GTEST_SKIP() << "the stand-in for cuBLASLt works with that for the driver alone";
    const auto folder = std::filesystem::path(PLACEWRIGHT_CUDA_EMULATOR).parent_path();
    ::setenv("PLACEWRIGHT_LIBCUBLASLT", (folder / "libcublaslt_emulator.so").c_str(), 1);
    LibraryUse use;
    use.allowed = true;
    device_ = std::make_shared<CudaDevice>(start_cuda().driver, 0, INT64_MAX, use);
    image_ = device_->load(try_make_cuda_code_target(device_->spec().target)->emit({kernel_}, 1, {}).images.at(0));
    stream_ = device_->open_stream();
  }
  void TearDown() override {
    if (device_) device_->close_stream(stream_);
    device_.reset();
    ::unsetenv("PLACEWRIGHT_LIBCUBLASLT");
  }
  void expect_done(Prepared& each, uint64_t seed, double most_index) {
    std::vector<HostTensor> expected = operands_of(kernel_, seed, most_index);
    const Status status = interpret_kernel(kernel_, expected);
    EXPECT_EQ(mismatch(each.result(), expected.back(), 0), "") << seed;
    EXPECT_EQ(each.status, static_cast<uint64_t>(status)) << seed;
    EXPECT_THAT(device_->performer(each.launch), ::testing::StartsWith("cuBLASLt "));
  }

  const StructuredKernel kernel_ = parse_kernel(looked_up);
  std::shared_ptr<CudaDevice> device_;
  std::shared_ptr<const LoadedImage> image_;
  int stream_ = 0;
};

TEST_F(CudaBegunProducts, KeepTheirStatus) {
  for (double most_index : {3.0, 5.0}) {
    Prepared each(device_, *image_, operands_of(kernel_, 1, most_index));
    device_->launch(stream_, each.launch);
    device_->finish(device_->record(stream_));
    expect_done(each, 1, most_index);
    EXPECT_EQ(each.status, static_cast<uint64_t>(most_index > 3 ? Status::index_out_of_range : Status::ok));
  }
}

// Nothing but the workspace that they share holds one of them back until the rest of the other is done.
TEST_F(CudaBegunProducts, SideBySideInAGraphTheyWaitForEachOthersRest) {
  Prepared one(device_, *image_, operands_of(kernel_, 1, 5)), two(device_, *image_, operands_of(kernel_, 100, 3));
  const std::vector<WorkItem> items{{&one.launch, nullptr, {}}, {&two.launch, nullptr, {}}};
  std::string reason;
  std::unique_ptr<PreparedWork> graph = device_->prepare(items, &reason);
  ASSERT_TRUE(graph) << reason;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(device_->run(stream_, *graph, &reason)) << reason;
    device_->finish(device_->record(stream_));
    expect_done(one, 1, 5);
    expect_done(two, 100, 3);
    one.status = two.status = 0;
  }
}

}  // namespace
}  // namespace placewright::testing
