// How the emulator's cuBLASLt fails on purpose, what it logs, and its products in graphs.
#include <fstream>

#include <gmock/gmock.h>

#include "cublaslt_fixture.h"

namespace cuda_emulator {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace cuda_emulator
