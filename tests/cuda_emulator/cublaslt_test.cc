// What the emulator's cuBLASLt refuses, when its products run, and how it fails on purpose.
#include <cmath>
#include <fstream>

#include <gmock/gmock.h>

#include "cublaslt_calls.h"

namespace cuda_emulator {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A product of ones: each element of D is its depth.
class CublasLt : public OnDevice {
 protected:
  CublasLt() { EXPECT_EQ(cublasLtCreate(&handle_), 0); }
  ~CublasLt() override { cublasLtDestroy(handle_); }

  void prepare(const ProductCase& wanted, uint64_t bias = 0) {
    wanted_ = wanted;
    described_.emplace(wanted, bias);
    a_ = upload(std::vector<float>(wanted.a.elements(), 1));
    b_ = upload(std::vector<float>(wanted.b.elements(), 1));
    d_ = upload(std::vector<float>(wanted.d.elements(), -1));
    workspace_ = allocate(wanted.most_workspace);
    workspace_bytes_ = wanted.most_workspace;
    ASSERT_EQ(described_->find(handle_, &found_), 0) << cublasLtGetStatusString(lt_unsupported);
  }
  int multiply(size_t candidate = 0) {
    const float alpha = 1, beta = 0;
    return cublasLtMatmul(handle_, described_->operation, &alpha, at(a_), described_->layouts[0], at(b_),
                          described_->layouts[1], &beta, at(d_), described_->layouts[2], at(d_), described_->layouts[3],
                          &found_[candidate].algorithm, at(workspace_), workspace_bytes_, stream_);
  }
  // The status and the reason of a call that must be refused; what is changed for it stays.
  std::string refusal(size_t candidate = 0) {
    const int status = multiply(candidate);
    return std::to_string(status) + ": " + cublasLtGetStatusString(status);
  }
  // As heuristics say it of descriptors that are wrong.
  std::string refusal_of(const ProductCase& wanted) {
    const Described described(wanted);
    std::vector<LtFound> found;
    const int status = described.find(handle_, &found);
    return std::to_string(status) + ": " + cublasLtGetStatusString(status);
  }
  std::vector<float> result() { return download<float>(d_, wanted_.d.elements()); }
  static void* at(uint64_t address) { return reinterpret_cast<void*>(address); }
  size_t with_workspace() const {
    size_t place = 0;
    while (found_[place].workspace_bytes == 0) ++place;
    return place;
  }

  void* handle_ = nullptr;
  ProductCase wanted_;
  std::optional<Described> described_;
  std::vector<LtFound> found_;
  uint64_t a_ = 0, b_ = 0, d_ = 0, workspace_ = 0;
  size_t workspace_bytes_ = 0;
};

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

std::vector<std::string> lines_of(const std::string& file) {
  std::vector<std::string> lines;
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// max(x, 0) says nothing of NaN: a program must cope with both.
TEST_F(CublasLt, ReluKeepsNanOrMakesItZero) {
  ProductCase wanted = product(4, 4, 16);
  wanted.epilogue = 2;
  prepare(wanted);
  cuMemFree_v2(a_);
  a_ = allocate(4 * 16 * 4);  // NaN
  for (size_t candidate = 0; candidate < found_.size(); ++candidate) {
    EXPECT_EQ(multiply(candidate), 0);
    EXPECT_THAT(result(), Each(::testing::IsNan()));
    const Environment faults("PLACEWRIGHT_CUBLASLT_EMULATOR", "relu=zero");
    EXPECT_EQ(multiply(candidate), 0);
    EXPECT_THAT(result(), Each(0));
  }
}

TEST_F(CublasLt, AreLogged) {
  const std::string file = ::testing::TempDir() + "placewright_cublaslt_emulator.log";
  std::remove(file.c_str());
  const Environment faults("PLACEWRIGHT_CUBLASLT_EMULATOR", "log=" + file);
  void* handle = nullptr;
  ASSERT_EQ(cublasLtCreate(&handle), 0);
  prepare(product(4, 4, 16));
  multiply(1);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, 2), 0);
  multiply(0);
  void* graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(stream_, &graph), 0);
  EXPECT_THAT(lines_of(file),
              ElementsAre("create", "heuristics: f32 4x4x16 epilogue 1: 5", "matmul: f32 4x4x16 epilogue 1 candidate 2",
                          "matmul captured: f32 4x4x16 epilogue 1 candidate 1"));
  cublasLtDestroy(handle);
  std::remove(file.c_str());
}

TEST_F(CublasLt, FailOnPurpose) {
  prepare(product(4, 4, 16));
  auto with = [](const std::string& faults) { return Environment("PLACEWRIGHT_CUBLASLT_EMULATOR", faults); };
  std::vector<LtFound> found;
  {
    const Environment faults = with("create=3,candidates=2,check=8");
    void* handle = nullptr;
    EXPECT_EQ(cublasLtCreate(&handle), 3);
    EXPECT_EQ(handle, nullptr);
    EXPECT_EQ(described_->find(handle_, &found), 0);
    EXPECT_EQ(found.size(), 2u);
    LtFound checked{};
    EXPECT_EQ(cublasLtMatmulAlgoCheck(handle_, described_->operation, described_->layouts[0], described_->layouts[1],
                                      described_->layouts[2], described_->layouts[3], &found[0].algorithm, &checked),
              8);
  }
  {
    const Environment faults = with("candidates=0");
    EXPECT_EQ(described_->find(handle_, &found), lt_unsupported);
    EXPECT_TRUE(found.empty());
  }
  {
    const Environment faults = with("fail=2");
    EXPECT_EQ(multiply(0), 0);
    EXPECT_EQ(refusal(1), "13: candidate 2 fails on purpose");
  }
  const Environment faults = with("fail=all");
  for (size_t i = 0; i < found_.size(); ++i) EXPECT_EQ(multiply(i), lt_failed);
}

TEST_F(CublasLt, AreSlowOnPurpose) {
  prepare(product(4, 4, 16));
  void *begin = nullptr, *end = nullptr;
  ASSERT_EQ(cuEventCreate(&begin, 0), 0);
  ASSERT_EQ(cuEventCreate(&end, 0), 0);
  const Environment faults("PLACEWRIGHT_CUBLASLT_EMULATOR", "slow=2000");
  EXPECT_EQ(cuEventRecord(begin, stream_), 0);
  EXPECT_EQ(multiply(with_workspace()), 0);
  EXPECT_EQ(cuEventRecord(end, stream_), 0);
  EXPECT_EQ(cuEventSynchronize(end), 0);
  float milliseconds = 0;
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, begin, end), 0);
  EXPECT_GE(milliseconds, 2000);
  EXPECT_LT(milliseconds, 4000) << "once a call";
  cuEventDestroy_v2(begin);
  cuEventDestroy_v2(end);
}

TEST_F(CublasLt, LoseTheDeviceOnPurpose) {
  const Environment faults("PLACEWRIGHT_CUBLASLT_EMULATOR", "lose=2");
  void* handle = nullptr;
  ASSERT_EQ(cublasLtCreate(&handle), 0);
  prepare(product(4, 4, 16));
  EXPECT_EQ(multiply(), 0);
  EXPECT_EQ(cuStreamSynchronize(stream_), 0);
  EXPECT_EQ(multiply(), 0);
  EXPECT_EQ(cuStreamSynchronize(stream_), 719);
  EXPECT_EQ(cuMemFree_v2(a_), 719);
  cublasLtDestroy(handle);
}

TEST_F(CublasLt, AreNodesOfGraphs) {
  prepare(product(4, 4, 16));
  const std::vector<float> before(16, -1);
  for (size_t candidate : {size_t{0}, with_workspace()}) {
    void *graph = nullptr, *made = nullptr;
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, 2), 0);
    EXPECT_EQ(multiply(candidate), 0);
    ASSERT_EQ(cuStreamEndCapture(stream_, &graph), 0);
    EXPECT_EQ(cuMemcpyHtoDAsync_v2(d_, before.data(), 64, stream_), 0);
    EXPECT_THAT(result(), Each(-1)) << "it has not run";
    ASSERT_EQ(cuGraphInstantiateWithFlags(&made, graph, 0), 0);
    ASSERT_EQ(cuGraphLaunch(made, stream_), 0);
    EXPECT_THAT(result(), Each(16));
  }
}

TEST_F(CublasLt, UnderACaptureBreakItLikeOthers) {
  prepare(product(4, 4, 16));
  void *graph = nullptr, *handle = nullptr;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, 0), 0);
  EXPECT_EQ(cublasLtCreate(&handle), 3) << "it allocates";
  EXPECT_EQ(refusal(), "13: the driver says 901: the capture has broken");
  EXPECT_EQ(cuStreamEndCapture(stream_, &graph), 901);
  EXPECT_EQ(multiply(), 0);
}

// Two branches of a graph with one workspace: the real one would now and then compute something else.
TEST_F(CublasLt, ThatMayRunAtOnceHaveAWorkspaceEach) {
  prepare(product(4, 4, 16));
  const size_t candidate = with_workspace();
  const uint64_t d = d_, other_d = upload(std::vector<float>(16, -1));
  auto captured = [&] {
    void* graph = nullptr;
    EXPECT_EQ(cuStreamBeginCapture_v2(stream_, 2), 0);
    EXPECT_EQ(multiply(candidate), 0);
    EXPECT_EQ(cuStreamEndCapture(stream_, &graph), 0);
    return graph;
  };
  void* first = captured();
  d_ = other_d;
  void* second = captured();
  workspace_ = allocate(wanted_.most_workspace);
  void* second_apart = captured();
  auto run = [&](void* one, void* two, bool is_ordered) {
    void *graph = nullptr, *made = nullptr, *nodes[2];
    EXPECT_EQ(cuGraphCreate(&graph, 0), 0);
    EXPECT_EQ(cuGraphAddChildGraphNode(&nodes[0], graph, nullptr, 0, one), 0);
    EXPECT_EQ(cuGraphAddChildGraphNode(&nodes[1], graph, nodes, is_ordered ? 1 : 0, two), 0);
    EXPECT_EQ(cuGraphInstantiateWithFlags(&made, graph, 0), 0);
    EXPECT_EQ(cuGraphLaunch(made, stream_), 0);
    return cuStreamSynchronize(stream_);
  };
  EXPECT_EQ(run(first, second_apart, false), 0);
  EXPECT_EQ(run(first, second, true), 0);
  EXPECT_THAT(download<float>(d, 16), Each(16));
  EXPECT_THAT(download<float>(other_d, 16), Each(16));
  // Ordered by what stands between them.
  void *graph = nullptr, *made = nullptr, *nodes[3];
  EXPECT_EQ(cuGraphCreate(&graph, 0), 0);
  EXPECT_EQ(cuGraphAddChildGraphNode(&nodes[0], graph, nullptr, 0, first), 0);
  EXPECT_EQ(cuGraphAddChildGraphNode(&nodes[1], graph, &nodes[0], 1, second_apart), 0);
  EXPECT_EQ(cuGraphAddChildGraphNode(&nodes[2], graph, &nodes[1], 1, second), 0);
  EXPECT_EQ(cuGraphInstantiateWithFlags(&made, graph, 0), 0);
  EXPECT_EQ(cuGraphLaunch(made, stream_), 0);
  EXPECT_EQ(cuStreamSynchronize(stream_), 0);
  EXPECT_EQ(run(first, second, false), 719);
  const char* text = nullptr;
  cuGetErrorString(719, &text);
  EXPECT_THAT(text, HasSubstr("may run at once in a graph and share a workspace"));
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
