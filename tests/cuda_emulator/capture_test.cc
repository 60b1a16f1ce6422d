// Streams that capture, and graphs of what they captured.
#include <thread>

#include <gmock/gmock.h>

#include "cublaslt_calls.h"

namespace cuda_emulator {
namespace {

using ::testing::ElementsAre;

enum Mode { global, thread_local_mode, relaxed };

class Capture : public OnDevice {
 protected:
  Capture() { EXPECT_EQ(cuStreamCreate(&other_, 1), 0); }
  int status(void* stream) {
    int found = -1;
    EXPECT_EQ(cuStreamIsCapturing(stream, &found), 0);
    return found;
  }
  void begin(Mode mode = relaxed) { ASSERT_EQ(cuStreamBeginCapture_v2(stream_, mode), 0); }
  // The result, and the graph in graph_.
  int end(void* stream = nullptr) { return cuStreamEndCapture(stream ? stream : stream_, &graph_); }
  int copy(uint64_t to, uint64_t from, void* stream = nullptr) {
    return cuMemcpyDtoDAsync_v2(to, from, 4, stream ? stream : stream_);
  }
  void launch() {
    void* made = nullptr;
    ASSERT_EQ(cuGraphInstantiateWithFlags(&made, graph_, 0), 0);
    ASSERT_EQ(cuGraphLaunch(made, stream_), 0);
    ASSERT_EQ(cuStreamSynchronize(stream_), 0);
    ASSERT_EQ(cuGraphExecDestroy(made), 0);
  }
  int value(uint64_t address) { return download<int>(address, 1)[0]; }
  std::string text(int result) {
    const char* found = nullptr;
    cuGetErrorString(result, &found);
    return found ? found : "";
  }

  void *other_ = nullptr, *graph_ = nullptr;
  uint64_t one_ = upload<int>({1}), two_ = upload<int>({2}), place_ = upload<int>({0}), next_ = upload<int>({0});
};

TEST_F(Capture, RunsNothingUntilTheGraphIsLaunched) {
  EXPECT_EQ(copy(place_, two_), 0);  // given before: still runs
  EXPECT_EQ(status(stream_), 0);
  begin();
  EXPECT_EQ(status(stream_), 1);
  EXPECT_EQ(copy(place_, one_), 0);
  EXPECT_EQ(copy(next_, place_), 0);
  EXPECT_EQ(end(), 0);
  EXPECT_EQ(status(stream_), 0);
  EXPECT_EQ(value(place_), 2);
  EXPECT_EQ(value(next_), 0);
  launch();
  EXPECT_EQ(value(place_), 1);
  EXPECT_EQ(value(next_), 1) << "the second copy stands behind the first";
  EXPECT_EQ(cuGraphDestroy(graph_), 0);
}

TEST_F(Capture, HoldsKernels) {
  const char* ptx =
      ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 a)\n{\n.reg .b64 %rd<3>;\n"
      ".reg .b32 %r<3>;\nld.param.u64 %rd1, [a];\nld.global.u32 %r1, [%rd1];\nadd.s32 %r1, %r1, 5;\n"
      "st.global.u32 [%rd1], %r1;\nret;\n}\n";
  void *module = nullptr, *function = nullptr;
  ASSERT_EQ(cuModuleLoadDataEx(&module, ptx, 0, nullptr, nullptr), 0);
  ASSERT_EQ(cuModuleGetFunction(&function, module, "k"), 0);
  uint64_t address = one_;
  void* parameters[] = {&address};
  begin();
  EXPECT_EQ(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr), 0);
  EXPECT_EQ(cuLaunchKernel(function, 0, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr), 1);
  EXPECT_EQ(end(), 0);
  address = two_;  // parameters are those of the call
  launch();
  launch();
  EXPECT_EQ(value(one_), 11);
  EXPECT_EQ(value(two_), 2);
}

TEST_F(Capture, HoldsGraphs) {
  begin();
  EXPECT_EQ(copy(place_, one_), 0);
  ASSERT_EQ(end(), 0);
  void* made = nullptr;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&made, graph_, 0), 0);
  begin();
  EXPECT_EQ(cuGraphLaunch(made, stream_), 0);
  EXPECT_EQ(copy(next_, place_), 0);
  ASSERT_EQ(end(), 0);
  EXPECT_EQ(value(place_), 0);
  launch();
  EXPECT_EQ(value(next_), 1);
}

TEST_F(Capture, TakesInWhatWaitsForItsEvents) {
  void *fork = nullptr, *join = nullptr;
  ASSERT_EQ(cuEventCreate(&fork, 0), 0);
  ASSERT_EQ(cuEventCreate(&join, 0), 0);
  begin();
  EXPECT_EQ(copy(place_, one_), 0);
  EXPECT_EQ(cuEventRecord(fork, stream_), 0);
  EXPECT_EQ(cuStreamWaitEvent(other_, fork, 0), 0);
  EXPECT_EQ(status(other_), 1);
  EXPECT_EQ(copy(next_, place_, other_), 0);
  EXPECT_EQ(cuEventRecord(join, other_), 0);
  EXPECT_EQ(cuStreamWaitEvent(stream_, join, 0), 0);
  EXPECT_EQ(copy(place_, two_), 0);
  EXPECT_EQ(end(), 0);
  EXPECT_EQ(status(other_), 0);
  launch();
  EXPECT_EQ(value(next_), 1) << "between the two writes";
  EXPECT_EQ(value(place_), 2);
  // Its events are of no use outside until they are recorded anew.
  EXPECT_EQ(cuEventQuery(fork), 907);
  EXPECT_EQ(cuStreamWaitEvent(other_, join, 0), 907);
  EXPECT_EQ(cuEventRecord(fork, stream_), 0);
  EXPECT_EQ(cuEventSynchronize(fork), 0);
  cuEventDestroy_v2(fork);
  cuEventDestroy_v2(join);
}

TEST_F(Capture, OfBranchesThatAreNotJoinedIsRefused) {
  void* fork = nullptr;
  ASSERT_EQ(cuEventCreate(&fork, 0), 0);
  begin();
  EXPECT_EQ(cuEventRecord(fork, stream_), 0);
  EXPECT_EQ(cuStreamWaitEvent(other_, fork, 0), 0);
  EXPECT_EQ(copy(next_, one_, other_), 0);
  EXPECT_EQ(end(other_), 903) << "it began elsewhere";
  EXPECT_EQ(end(), 904);
  EXPECT_EQ(graph_, nullptr);
  EXPECT_EQ(status(other_), 0);
  cuEventDestroy_v2(fork);
}

TEST_F(Capture, BreaksWhereSomebodyWaitsForIt) {
  void *event = nullptr, *outside = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), 0);
  ASSERT_EQ(cuEventCreate(&outside, 0), 0);
  ASSERT_EQ(cuEventRecord(outside, other_), 0);
  const std::vector<std::function<int()>> wrong = {
      [&] { return cuStreamSynchronize(stream_); },
      [&] { return cuMemcpyPeerAsync(place_, context_, one_, context_, 4, stream_); },
      [&] { return cuEventRecord(event, stream_) + cuEventSynchronize(event); },
      [&] { return cuEventRecord(event, stream_) + cuEventQuery(event); },
      [&] { return cuStreamWaitEvent(stream_, outside, 0); }};
  for (size_t i = 0; i < wrong.size(); ++i) {
    begin();
    EXPECT_EQ(copy(place_, one_), 0);
    EXPECT_EQ(wrong[i](), (std::vector{900, 801, 907, 907, 905})[i]) << i;
    EXPECT_EQ(status(stream_), 2);
    EXPECT_EQ(copy(place_, one_), 901);
    EXPECT_EQ(cuEventRecord(event, stream_), 901);
    EXPECT_EQ(end(), 901);
    EXPECT_EQ(graph_, nullptr);
    EXPECT_EQ(status(stream_), 0);
  }
  EXPECT_EQ(text(905), "a stream that captures waits for an event that was not captured");
  EXPECT_EQ(copy(place_, one_), 0);
  EXPECT_EQ(value(place_), 1) << "the stream works again";
  cuEventDestroy_v2(event);
  cuEventDestroy_v2(outside);
}

TEST_F(Capture, ModesSayWhoMustNotWait) {
  void *event = nullptr, *pinned = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), 0);
  ASSERT_EQ(cuEventRecord(event, other_), 0);
  uint64_t address = 0;
  const std::vector<std::function<int()>> unsafe = {
      [&] { return cuStreamSynchronize(other_); }, [&] { return cuEventSynchronize(event); },
      [&] { return cuEventQuery(event); },         [&] { return cuMemHostAlloc(&pinned, 64, 0); },
      [&] { return cuMemFreeHost(pinned); },       [&] { return cuMemAlloc_v2(&address, 64); },
      [&] { return cuMemFree_v2(address); }};
  for (Mode mode : {global, thread_local_mode, relaxed})
    for (bool is_other_thread : {false, true})
      for (size_t i = 0; i < unsafe.size(); ++i) {
        begin(mode);
        int result = -1;
        auto call = [&] {
          cuCtxSetCurrent(context_);
          result = unsafe[i]();
        };
        if (is_other_thread)
          std::thread(call).join();
        else
          call();
        const bool is_refused = mode == global || (mode == thread_local_mode && !is_other_thread);
        EXPECT_EQ(result, is_refused ? 900 : 0) << mode << is_other_thread << i;
        EXPECT_EQ(end(), is_refused ? 901 : 0);
      }
  EXPECT_EQ(text(900), "cuMemFree might wait for work that a stream captures");
  cuEventDestroy_v2(event);
}

TEST_F(Capture, EndsWhereItBegan) {
  EXPECT_EQ(end(), 401);
  EXPECT_EQ(cuStreamBeginCapture_v2(nullptr, relaxed), 900);
  EXPECT_EQ(cuStreamBeginCapture_v2(stream_, 3), 1);
  for (Mode mode : {global, thread_local_mode, relaxed}) {
    begin(mode);
    EXPECT_EQ(cuStreamBeginCapture_v2(stream_, mode), 401);
    int result = -1;
    std::thread([&] { result = end(); }).join();
    EXPECT_EQ(result, mode == relaxed ? 0 : 908);
    EXPECT_EQ(end(), mode == relaxed ? 401 : 0);
  }
}

TEST_F(Capture, TwoAreNeverOne) {
  void* event = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), 0);
  begin();
  ASSERT_EQ(cuStreamBeginCapture_v2(other_, relaxed), 0);
  EXPECT_EQ(cuEventRecord(event, other_), 0);
  EXPECT_EQ(cuStreamWaitEvent(stream_, event, 0), 902);
  EXPECT_EQ(end(), 901);
  EXPECT_EQ(end(other_), 901);
  cuEventDestroy_v2(event);
}

TEST_F(Capture, DiesWithItsStream) {
  void* event = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), 0);
  ASSERT_EQ(cuStreamBeginCapture_v2(other_, global), 0);
  EXPECT_EQ(cuEventRecord(event, other_), 0);
  EXPECT_EQ(cuStreamWaitEvent(stream_, event, 0), 0);
  EXPECT_EQ(cuStreamDestroy_v2(other_), 0);
  EXPECT_EQ(status(stream_), 0);
  EXPECT_EQ(value(one_), 1) << "nothing is forbidden any more";
  cuEventDestroy_v2(event);
}

class ChildGraphs : public Capture {
 protected:
  // One copy after the other.
  void* captured(const std::vector<std::pair<uint64_t, uint64_t>>& copies) {
    begin();
    for (auto [to, from] : copies) EXPECT_EQ(copy(to, from), 0);
    EXPECT_EQ(end(), 0);
    return graph_;
  }
};

TEST_F(ChildGraphs, RunAsOneNode) {
  void *child = captured({{place_, one_}, {next_, place_}}), *behind = captured({{place_, two_}});
  void *graph = nullptr, *first = nullptr, *second = nullptr, *made = nullptr;
  ASSERT_EQ(cuGraphCreate(&graph, 0), 0);
  ASSERT_EQ(cuGraphAddChildGraphNode(&first, graph, nullptr, 0, child), 0);
  ASSERT_EQ(cuGraphAddChildGraphNode(&second, graph, &first, 1, behind), 0);
  EXPECT_EQ(cuGraphDestroy(child), 0);  // it was copied
  EXPECT_EQ(cuGraphDestroy(behind), 0);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&made, graph, 0), 0);
  ASSERT_EQ(cuGraphLaunch(made, stream_), 0);
  EXPECT_EQ(value(next_), 1);
  EXPECT_EQ(value(place_), 2);
  ASSERT_EQ(cuGraphExecDestroy(made), 0);
  ASSERT_EQ(cuGraphDestroy(graph), 0);
}

TEST_F(ChildGraphs, AreExchangedForAlikeOnes) {
  void *child = captured({{place_, one_}, {next_, place_}}), *other = captured({{place_, two_}, {next_, place_}});
  void *shorter = captured({{place_, two_}}), *graph = nullptr, *node = nullptr, *made = nullptr;
  int host = 7;
  begin();
  EXPECT_EQ(copy(place_, two_), 0);
  EXPECT_EQ(cuMemcpyHtoDAsync_v2(next_, &host, 4, stream_), 0);
  ASSERT_EQ(end(), 0);
  void* of_host = graph_;
  ASSERT_EQ(cuGraphCreate(&graph, 0), 0);
  ASSERT_EQ(cuGraphAddChildGraphNode(&node, graph, nullptr, 0, child), 0);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&made, graph, 0), 0);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, node, shorter), 910);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, node, of_host), 910);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, nullptr, other), 1);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, node, nullptr), 1);
  ASSERT_EQ(cuGraphLaunch(made, stream_), 0);  // as it was, though it changes before it runs
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, node, other), 0);
  EXPECT_EQ(value(next_), 1);
  ASSERT_EQ(cuGraphLaunch(made, stream_), 0);
  EXPECT_EQ(value(next_), 2);
}

// The same nodes in another order are other graphs.
TEST_F(ChildGraphs, AreNotExchangedForThoseWithOtherEdges) {
  void *one = captured({{place_, one_}}), *two = captured({{next_, two_}}), *graphs[2], *node = nullptr,
       *made = nullptr;
  for (size_t edges : {0, 1}) {
    void* first = nullptr;
    ASSERT_EQ(cuGraphCreate(&graphs[edges], 0), 0);
    ASSERT_EQ(cuGraphAddChildGraphNode(&first, graphs[edges], nullptr, 0, one), 0);
    ASSERT_EQ(cuGraphAddChildGraphNode(&node, graphs[edges], &first, edges, two), 0);
  }
  void* graph = nullptr;
  ASSERT_EQ(cuGraphCreate(&graph, 0), 0);
  ASSERT_EQ(cuGraphAddChildGraphNode(&node, graph, nullptr, 0, graphs[0]), 0);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&made, graph, 0), 0);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, node, graphs[1]), 910);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(made, node, graphs[0]), 0);
}

TEST_F(ChildGraphs, ComeFromTheSameContextAndStandBehindNodesOfTheGraph) {
  void *child = captured({{place_, one_}}), *graph = nullptr, *node = nullptr, *elsewhere = nullptr;
  ASSERT_EQ(cuGraphCreate(&graph, 0), 0);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, graph, nullptr, 0, nullptr), 1);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, graph, nullptr, 0, graph), 1);
  ASSERT_EQ(cuGraphAddChildGraphNode(&elsewhere, child, nullptr, 0, graph), 0);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, graph, &elsewhere, 1, child), 1);
  void* context = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&context, 1), 0);
  cuCtxSetCurrent(context);
  void* of_another_device = nullptr;
  ASSERT_EQ(cuGraphCreate(&of_another_device, 0), 0);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, graph, nullptr, 0, of_another_device), 1);
  ASSERT_EQ(cuDevicePrimaryCtxRelease_v2(1), 0);
  cuCtxSetCurrent(context_);
}

}  // namespace
}  // namespace cuda_emulator
