// When products of the emulator's cuBLASLt run, and what it refuses.
#include <cmath>

#include <gmock/gmock.h>

#include "cublaslt_fixture.h"

namespace cuda_emulator {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(CublasLt, RunWhenSomebodyWaitsForThem) {
  prepare(product(2, 2, 3));
  EXPECT_EQ(multiply(), 0);
  const std::vector<float> twos(6, 2);
  EXPECT_EQ(cuMemcpyHtoDAsync_v2(a_, twos.data(), 24, stream_), 0);  // behind it
  EXPECT_EQ(cuStreamSynchronize(stream_), 0);
  EXPECT_THAT(result(), Each(3));
  EXPECT_EQ(multiply(), 0);
  EXPECT_THAT(result(), Each(6));
}

TEST_F(CublasLt, KeepToTheOrderOfTheirStreams) {
  void *event = nullptr, *other = nullptr;
  ASSERT_EQ(cuStreamCreate(&other, 1), 0);
  ASSERT_EQ(cuEventCreate(&event, 0), 0);
  prepare(product(2, 2, 3));
  EXPECT_EQ(multiply(), 0);
  EXPECT_EQ(cuEventRecord(event, stream_), 0);
  EXPECT_EQ(cuStreamWaitEvent(other, event, 0), 0);
  const uint64_t copy = allocate(16);
  EXPECT_EQ(cuMemcpyDtoDAsync_v2(copy, d_, 16, other), 0);
  EXPECT_EQ(cuStreamSynchronize(other), 0);
  EXPECT_THAT(download<float>(copy, 4), Each(3));
  cuEventDestroy_v2(event);
}

TEST_F(CublasLt, LeaveNothingOfUseInTheWorkspace) {
  prepare(product(4, 4, 16));
  const size_t candidate = with_workspace();
  EXPECT_EQ(multiply(candidate), 0);
  EXPECT_THAT(result(), Each(16));
  for (float left : download<float>(workspace_, found_[candidate].workspace_bytes / 4)) EXPECT_TRUE(std::isnan(left));
}

TEST_F(CublasLt, WithoutWhatTheyNeedAreRefused) {
  prepare(product(4, 4, 16));
  const size_t candidate = with_workspace();
  const uint64_t a = a_, b = b_, d = d_, workspace = workspace_;
  a_ = 0;
  EXPECT_EQ(refusal(), "7: a matrix has no address");
  a_ = a + 2;
  EXPECT_EQ(refusal(), "7: matrix A is not aligned to 4 bytes");
  a_ = a, b_ = d_ + 4;
  EXPECT_EQ(refusal(), "7: B and D overlap");
  b_ = b, workspace_ = 0;
  EXPECT_EQ(refusal(candidate), "7: the workspace has no address");
  EXPECT_EQ(multiply(0) + multiply(candidate), found_[0].workspace_bytes ? 14 : 7) << "others need none";
  workspace_ = workspace + 128;
  EXPECT_EQ(refusal(candidate), "7: the workspace is not aligned to 256 bytes");
  workspace_ = workspace, workspace_bytes_ = 100;
  EXPECT_EQ(refusal(candidate), "7: the algorithm needs 128 bytes of workspace, given were 100");
  workspace_bytes_ = wanted_.most_workspace, d_ = workspace_;
  EXPECT_EQ(refusal(candidate), "7: the workspace and D overlap");
  d_ = d, a_ = workspace_;
  EXPECT_EQ(refusal(candidate), "7: A and the workspace overlap");
  a_ = a;
  d_ = d, stream_ = nullptr;
  EXPECT_EQ(refusal(), "13: the driver says 400: the stream is none of the handle's context");
}

TEST_F(CublasLt, WithDescriptorsThatDisagreeAreRefused) {
  const ProductCase good = product(4, 5, 6);
  ProductCase wrong = good;
  wrong.b.rows = 7;
  EXPECT_EQ(refusal_of(wrong), "7: A has the depth 6, B 7");
  wrong = good;
  wrong.d.columns = 6;
  EXPECT_THAT(refusal_of(wrong), StartsWith("7: matrix C is 4x6, the product 4x5"));
  wrong = good;
  wrong.a.leading = 3;
  EXPECT_EQ(refusal_of(wrong), "7: matrix A is 4x6, its leading dimension 3");
  wrong.a.order = 1;
  wrong.a.leading = 5;
  EXPECT_EQ(refusal_of(wrong), "7: matrix A is 4x6, its leading dimension 5");
  wrong = good;
  wrong.a.batches = 2;
  EXPECT_EQ(refusal_of(wrong), "7: the matrices have different numbers of batches");
  for (MatrixShape* shape : {&wrong.a, &wrong.b, &wrong.d}) shape->batches = 2, shape->batch_stride = 19;
  wrong.b.batch_stride = 0;
  EXPECT_EQ(refusal_of(wrong), "7: the batches of matrix D overlap");
  wrong.d.batch_stride = 20;
  wrong.a.batch_stride = -24;
  EXPECT_EQ(refusal_of(wrong), "7: matrix A has a negative batch stride");
  wrong.a.batch_stride = 24;
  EXPECT_THAT(refusal_of(wrong), StartsWith("0: "));
  wrong.a.batches = 0;
  EXPECT_EQ(refusal_of(wrong), "7: matrix A has 0 batches");
  wrong = good;
  wrong.a.rows = wrong.d.rows = 0;
  EXPECT_EQ(refusal_of(wrong), "7: matrix A is 0x6");
}

TEST_F(CublasLt, ThatAreNotImplementedAreRefused) {
  const ProductCase good = product(4, 5, 6);
  ProductCase wrong = good;
  wrong.compute = 64;
  EXPECT_EQ(refusal_of(wrong), "15: compute type 64 is not implemented");
  for (uint32_t epilogue : {0u, 3u, 5u, 130u, 160u, 256u}) {
    wrong = good;
    wrong.epilogue = epilogue;
    EXPECT_EQ(refusal_of(wrong), "15: epilogue " + std::to_string(epilogue) + " is not implemented");
  }
  wrong = good;
  wrong.compute = lt_compute_f64;
  wrong.epilogue = 2;
  EXPECT_EQ(refusal_of(wrong), "15: f64 with an epilogue");
  wrong = good;
  wrong.transpose_a = 2;
  EXPECT_EQ(refusal_of(wrong), "15: this transposition of A");
  wrong = good;
  wrong.a.order = 2;
  EXPECT_EQ(refusal_of(wrong), "15: matrix A has an order that is not implemented");
  wrong = good;
  wrong.c = wrong.d;
  wrong.c->order = 1;
  EXPECT_EQ(refusal_of(wrong), "15: C and D of different orders");
  wrong = good;
  wrong.epilogue = 4;
  wrong.d.order = 1;
  EXPECT_EQ(refusal_of(wrong), "15: a bias where D is in row order");
  wrong.d.order = 0;
  EXPECT_EQ(refusal_of(wrong), "7: an epilogue with a bias, and no bias pointer");
  wrong = good;
  wrong.alignment = 2;
  EXPECT_EQ(refusal_of(wrong), "15: no algorithm suits the preference");
  wrong.alignment = 12;
  EXPECT_EQ(refusal_of(wrong), "7: an alignment that is no power of 2");
}

TEST_F(CublasLt, TakeNoOtherTypesPointersOrFills) {
  const ProductCase good = product(4, 5, 6);
  std::vector<LtFound> found;
  for (auto [attribute, value] : {std::pair{1, 1}, {2, 1}, {5, 1}, {6, 0}}) {
    Described described(good);
    described.set_operation(attribute, value);
    EXPECT_EQ(described.find(handle_, &found), lt_unsupported) << attribute;
  }
  Described described(good);
  described.set_layout(1, 0, uint32_t{lt_f64});
  EXPECT_EQ(described.find(handle_, &found), lt_unsupported);
  EXPECT_STREQ(cublasLtGetStatusString(lt_unsupported), "matrix B is of type 1, expected 0");
}

TEST_F(CublasLt, TakeTheAlgorithmThatWasGivenForTheProblem) {
  prepare(product(4, 4, 16));
  const LtAlgorithm algorithm = found_[0].algorithm;
  LtFound checked{};
  auto check = [&](const Described& described, const LtAlgorithm& which) {
    return cublasLtMatmulAlgoCheck(handle_, described.operation, described.layouts[0], described.layouts[1],
                                   described.layouts[2], described.layouts[3], &which, &checked);
  };
  EXPECT_EQ(check(Described(wanted_), algorithm), 0) << "descriptors made anew";
  EXPECT_EQ(checked.workspace_bytes, found_[0].workspace_bytes);
  EXPECT_EQ(check(Described(product(4, 4, 17)), algorithm), lt_invalid);
  EXPECT_STREQ(cublasLtGetStatusString(lt_invalid), "the algorithm was given for another problem");
  for (int word = 0; word < 8; ++word) {
    LtAlgorithm damaged = algorithm;
    damaged.data[word] ^= 1 << word;
    EXPECT_EQ(check(*described_, damaged), lt_invalid) << word;
    found_[0].algorithm = damaged;
    EXPECT_EQ(multiply(), lt_invalid) << word;
  }
  found_[0].algorithm = algorithm;
  const Environment later("PLACEWRIGHT_CUBLASLT_EMULATOR", "version=130200");
  EXPECT_EQ(cublasLtGetVersion(), 130200u);
  EXPECT_EQ(check(*described_, algorithm), lt_invalid);
  EXPECT_EQ(refusal(), "7: the algorithm is of another version of the library");
}

TEST_F(CublasLt, HoldTheAlignmentThatWasPromised) {
  ProductCase wanted = product(4, 4, 16);
  wanted.alignment = 16;
  prepare(wanted);
  b_ += 4;
  EXPECT_EQ(refusal(), "7: matrix B is not aligned to 16 bytes");
}

TEST_F(CublasLt, ReadAndWriteWithinAllocationsAlone) {
  prepare(product(4, 4, 16));
  a_ = allocate(4 * 16 * 4 - 4);
  EXPECT_EQ(multiply(), 0);
  EXPECT_EQ(cuStreamSynchronize(stream_), 700);
  const char* text = nullptr;
  cuGetErrorString(700, &text);
  EXPECT_THAT(text, HasSubstr("cublasLtMatmul's matrix A of 16 bytes: "));
  EXPECT_EQ(multiply(), lt_failed) << "the device is lost";
}

TEST_F(CublasLt, BiasMustBeWhole) {
  ProductCase wanted = product(8, 4, 16);
  wanted.epilogue = 4;
  prepare(wanted, allocate(7 * 4));
  EXPECT_EQ(multiply(), 0);
  EXPECT_EQ(cuStreamSynchronize(stream_), 700);
}

TEST_F(CublasLt, BiasIsAlignedAndItsBatchesFollow) {
  ProductCase wanted = product(8, 4, 16);
  wanted.epilogue = 4;
  prepare(wanted, allocate(9 * 4) + 4);
  EXPECT_EQ(refusal(), "7: the bias is not aligned to 16 bytes");
  described_->set_operation(10, int64_t{-8});
  EXPECT_EQ(refusal(), "7: a negative batch stride of the bias");
}

TEST_F(CublasLt, DoNotReadDWhereBetaIsZero) {
  prepare(product(2, 2, 3));
  d_ = allocate(16);  // NaN
  EXPECT_EQ(multiply(), 0);
  EXPECT_THAT(download<float>(d_, 4), Each(3));
}

TEST_F(CublasLt, AreRefusedWithoutAHandleOrDescriptors) {
  prepare(product(2, 2, 3));
  std::vector<LtFound> found;
  EXPECT_EQ(described_->find(nullptr, &found), lt_not_initialised);
  int count = -1;
  EXPECT_EQ(cublasLtMatmulAlgoGetHeuristic(handle_, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 1,
                                           found_.data(), &count),
            lt_invalid);
  EXPECT_EQ(described_->find(handle_, &found, 0), lt_invalid);
  void* gone = described_->layouts[1];
  cublasLtMatrixLayoutDestroy(gone);
  EXPECT_EQ(refusal(), "7: no layout, or one that was destroyed");
  EXPECT_EQ(cublasLtMatrixLayoutDestroy(gone), lt_invalid);
  described_->layouts[1] = nullptr;
  EXPECT_EQ(cublasLtDestroy(handle_), 0);
  EXPECT_EQ(multiply(), lt_not_initialised);
  EXPECT_EQ(cublasLtCreate(nullptr), lt_invalid);
  cuCtxSetCurrent(nullptr);
  EXPECT_EQ(cublasLtCreate(&handle_), lt_not_initialised);
  cuCtxSetCurrent(context_);
}

TEST_F(CublasLt, AreOfTheHandlesDevice) {
  prepare(product(2, 2, 3));
  void *other = nullptr, *stream = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&other, 1), 0);
  cuCtxSetCurrent(other);
  ASSERT_EQ(cuStreamCreate(&stream, 1), 0);
  EXPECT_THAT(refusal(), HasSubstr("the handle is of another context than the current one"));
  cuCtxSetCurrent(context_);
  std::swap(stream, stream_);
  EXPECT_THAT(refusal(), HasSubstr("the stream is none of the handle's context"));
  std::swap(stream, stream_);
  ASSERT_EQ(cuDevicePrimaryCtxRelease_v2(1), 0);
}

TEST_F(CublasLt, SayTheirStatus) {
  EXPECT_STREQ(cublasLtGetStatusName(15), "CUBLAS_STATUS_NOT_SUPPORTED");
  EXPECT_STREQ(cublasLtGetStatusName(2), "unrecognized status");
  EXPECT_STREQ(cublasLtGetStatusString(0), "success");
  EXPECT_EQ(cublasLtGetVersion(), 130100u);
  EXPECT_EQ(cublasLtGetCudartVersion(), 13000u);
}

}  // namespace
}  // namespace cuda_emulator
