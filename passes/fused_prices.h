// What ops take as they will be compiled: behind all passes one launch runs many of them, pays its overhead once and
// keeps what only they read to itself. Internal to passes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "placewright/passes/pass.h"

namespace placewright {

class CompiledPlacements;

// What a graph is compiled to, and which op of it each op behind the passes came from.
class TracedGraph {
 public:
  // `labels`: of each op of the entry function, as number in `devices`. Runs the passes from `insert_transfers` to
  // `overlap`; `known`: what was compiled to `fuse` before, or null.
  TracedGraph(const Graph& graph, const PassContext& context, const std::vector<DeviceId>& devices,
              const std::vector<int>& labels, CompiledPlacements* known);

  const Graph& compiled() const { return compiled_; }

 private:
  Graph compiled_;
};

// Of a traced graph, which may have been changed since.
class OpSources {
 public:
  explicit OpSources(const Graph& compiled) : compiled_(compiled) {}

  // Numbers of ops of the entry function it was compiled from: several if equal ops were joined, none if nobody knows.
  // Stands until the next is asked for.
  std::span<const int32_t> of(OriginId origin);

 private:
  const Graph& compiled_;
  int32_t only_ = 0;                                           // what was asked for last
  std::unordered_map<OriginId, std::vector<int32_t>> joined_;  // many launches compute some of these
};

// In nanoseconds. What comes from constants alone is made again where it is read, so that an op may run on several
// devices.
struct FusedPrices {
  std::vector<std::vector<int64_t>> shares;  // [label][op]; they add up to all launches
  int64_t done = 0;                          // when the last device is done, launch by launch as the runtime does them
  int64_t of(int32_t op) const;              // on all devices
  int64_t launches() const;
};

// The price of each launch, shared out among its ops in proportion to what each would take alone. `labels`: of each op
// of the entry function, as number in `devices`.
FusedPrices price_as_fused(const TracedGraph& traced, const PassContext& context, const std::vector<DeviceId>& devices,
                           const std::vector<int>& labels);
// `known`: what was compiled for such prices before, or null.
FusedPrices price_as_fused(const Graph& graph, const PassContext& context, const std::vector<DeviceId>& devices,
                           const std::vector<int>& labels, CompiledPlacements* known);

// What placements of one graph are compiled to before `overlap`, and what the launches take. Links and memories decide
// nothing there, nor does how fast a device is as a whole, since only launches of one device are compared: for further
// plans of the graph on the same devices, of which that is other.
class CompiledPlacements {
 public:
  struct Compiled {
    Graph graph;
    std::vector<std::optional<double>> seconds;  // of each op
    std::vector<std::vector<int64_t>> shares;    // as FusedPrices has them
    int speeds = 0;                              // at which the launches were priced
  };
  // From now on all that runs on a device takes another multiple of its time.
  void change_speeds() { ++speeds_; }
  // Stands until the next is asked for.
  const Compiled& find(const Graph& graph, const PassContext& context, const std::vector<DeviceId>& devices,
                       const std::vector<int>& labels);

 private:
  static constexpr size_t most_ops = 160'000;  // of all graphs that are kept
  std::map<std::vector<int>, Compiled> made_;
  int speeds_ = 0;
};

}  // namespace placewright
