// Where a step needs more memory than a device has: values that wait for late readers leave its memory and come back
// just before they are read. The last pass does it, on the launches as they will run, so that nothing is undone and the
// same kernels give the same bits. Rematerialisation after Chen et al., "Training Deep Nets with Sublinear Memory
// Cost", 2016, with the memory plan as the judge.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/passes/memory_need.h"
#include "placewright/passes/pass.h"

namespace placewright {

enum class ReliefKind : uint8_t {
  reordered,     // nothing leaves: the launches run in another order, some of them in parts
  recomputed,    // its launch runs again, if need be behind those that it reads
  copied_again,  // from the device where it still stands
  offloaded,     // it waits in the host's memory
};
std::string_view name(ReliefKind kind);

// A launch that runs again: op `op`, for these of its results. What of its other results is still there is read.
struct Relaunch {
  int32_t op = -1;
  std::vector<int32_t> results;
  std::vector<int32_t> read;
};

struct ReliefStep {
  ReliefKind kind = ReliefKind::recomputed;
  // Steps of one round speak of the graph as the earlier rounds left it.
  int round = 0;
  std::vector<Value> values;  // what leaves memory; one unless several results of a launch do
  int32_t after = -1;         // the last op that reads them early
  int32_t before = -1;        // the op that reads them late, in front of which they come back
  std::vector<Relaunch> launches;
  int cut = 0;  // launches that run in parts, if they are reordered

  DeviceId device, waits_on;  // whose memory it leaves; where it is meanwhile, if it is offloaded
  std::string what, reader;   // for people: what makes the value, and what reads it late
  SourceSite site;            // of what makes it
  int64_t bytes = 0;          // freed at the fullest moment
  double seconds = 0;         // that a step takes longer
  std::string because;        // why this way: "offloading it would take 23 us"
};

struct Relief {
  std::vector<ReliefStep> steps;
  double seconds = 0;  // sum
  bool fits = true;    // else the steps are as far as it went
  Graph graph;         // with the steps; as it was if it is clear without a look at it that all fits
  MemoryNeed need;     // of that graph; empty likewise
};

// `compiled`: behind all other passes. Greedy by bytes freed for each second added, in rounds, each judged by a memory
// plan; bounded by counts. First the launches change their order, which costs least. Values that are results, new
// values of states, or made by what may not run twice stay.
// Where that does not fit, as little as the search reaches on the device that lacks most.
Relief find_relief(Graph compiled, const PassContext& context);
// The first of it; what surely does not fit is not searched.
Relief try_relief(Graph compiled, const PassContext& context);
// The second: it does not matter what the device has, so that a step runs with the least memory that a refusal names.
Relief find_least(const Graph& compiled, const PassContext& context, const DeviceId& device);
Graph apply_relief(Graph compiled, const PassContext& context, const std::vector<ReliefStep>& steps);
// Both, as the pass of that name does. Error if the step does not fit even so: needed, available, largest holders.
Graph relieve_memory(Graph compiled, const PassContext& context, std::vector<ReliefStep>& steps);

// "exp (train.cc:12) recomputed before mul: frees 4096 bytes of cpu:0 for 1.2 us, because there is nowhere to offload
// it"
std::string describe(const ReliefStep& step);

}  // namespace placewright
