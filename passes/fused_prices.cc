#include "fused_prices.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_set>
#include <utility>

#include "launch_tasks.h"
#include "placewright/base/duration.h"
#include "placewright/ir/merged_origins.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/step_time.h"
#include "rewrite.h"

namespace placewright {
namespace {

// One origin an op. Roles stay, for targets ask for them.
Graph traced(const Graph& placed, const std::vector<DeviceId>& places) {
  Graph graph{placed.functions, {}, placed.rules};
  for (Function& function : graph.functions)
    for (Op& op : function.ops) op.origin = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    Op& op = graph.main().ops[i];
    const Role role = placed.origins[placed.main().ops[i].origin].role;
    op.origin = graph.origins.intern({{}, "", role, static_cast<int32_t>(i) + 1, {}});
    if (op.is("all_reduce")) continue;  // its types name its devices
    for (Type& type : op.results) type.set_where(Where{{places[i]}, {}, {}});
  }
  return graph;
}

// An op of a launch and what it would take alone.
struct Part {
  OriginId origin = 0;
  double weight = 0;
};

std::vector<Part> parts_of(const Graph& compiled, const Op& launch, const TargetModel& model) {
  if (!launch.is("fused")) return {{launch.origin, 1}};
  std::vector<Part> parts;
  const Function& body = compiled.functions[launch.functions[0]];
  for (int32_t i = 0; i < static_cast<int32_t>(body.ops.size()); ++i)
    if (const Op& op = body.ops[i]; can_lower(*op.entry) && !op.entry->traits.view)
      parts.push_back({op.origin, model.cost(compiled, body, {i})});
  double sum = 0;
  for (const Part& part : parts) sum += part.weight;
  for (Part& part : parts)
    if (sum <= 0) part.weight = 1;
  return parts;
}

// Shares a whole number out by weights; none of it is lost.
class Sharing {
 public:
  void add(int64_t& share, double weight) {
    shares_.push_back({&share, weight});
    whole_ += weight;
  }

  void share_out(int64_t price) {
    PW_CHECK(!shares_.empty(), "nobody pays for a launch");
    double behind = 0;
    int64_t given = 0;
    for (size_t i = 0; i < shares_.size(); ++i) {
      behind += shares_[i].weight;
      const bool is_last = i + 1 == shares_.size();
      const int64_t until = is_last ? price : std::llround(static_cast<double>(price) * (behind / whole_));
      *shares_[i].share += until - given;
      given = until;
    }
  }

 private:
  struct Share {
    int64_t* share;
    double weight;
  };
  std::vector<Share> shares_;
  double whole_ = 0;
};

Graph compile(const Graph& graph, const PassContext& context, const std::vector<DeviceId>& devices,
              const std::vector<int>& labels, std::string_view last) {
  std::vector<DeviceId> places;
  places.reserve(labels.size());
  for (int label : labels) places.push_back(devices[label]);
  PassHooks hooks;
  hooks.verify = false;
  return run_passes(traced(graph, places), context, hooks, "insert_transfers", last);
}

// Nineteen hours: a group of launches stays runnable.
constexpr int64_t longest_launch = PlacementProblem::unrunnable / 16;

// The launches' prices, shared out; `ops`: of the graph that was compiled.
std::vector<std::vector<int64_t>> share_out(const Graph& compiled, const PassContext& context,
                                            const std::vector<DeviceId>& devices, size_t ops,
                                            const std::vector<std::optional<double>>& seconds) {
  std::vector<std::vector<int64_t>> shares(devices.size(), std::vector<int64_t>(ops, 0));
  OpSources sources_of(compiled);
  for (size_t i = 0; i < seconds.size(); ++i) {
    if (!seconds[i]) continue;
    const Op& launch = compiled.main().ops[i];
    const DeviceId& device = launch.results[0].tensor().where.devices[0];
    auto label = std::find(devices.begin(), devices.end(), device) - devices.begin();
    Sharing sharing;
    for (const Part& part : parts_of(compiled, launch, *context.targets.at(device))) {
      const std::span<const int32_t> sources = sources_of.of(part.origin);
      for (int32_t source : sources)
        sharing.add(shares[label][source], part.weight / static_cast<double>(sources.size()));
    }
    sharing.share_out(std::min(nanoseconds(*seconds[i]), longest_launch));
  }
  return shares;
}

Graph in_overlap_order(const CompiledPlacements::Compiled& compiled, const PassContext& context) {
  const std::vector<int32_t> order = overlap_order(compiled.graph, context, compiled.seconds);
  return order.empty() ? compiled.graph : in_order(compiled.graph, order);
}

}  // namespace

TracedGraph::TracedGraph(const Graph& graph, const PassContext& context, const std::vector<DeviceId>& devices,
                         const std::vector<int>& labels, CompiledPlacements* known)
    : compiled_(known ? in_overlap_order(known->find(graph, context, devices, labels), context)
                      : compile(graph, context, devices, labels, "overlap")) {}

std::span<const int32_t> OpSources::of(OriginId origin) {
  const Origin& own = compiled_.origins[origin];
  if (own.merged.empty()) {
    only_ = own.ordinal - 1;
    return {&only_, own.ordinal > 0 ? 1u : 0u};
  }
  auto [at, is_new] = joined_.try_emplace(origin);
  if (!is_new) return at->second;
  std::unordered_set<int32_t> seen;  // a merged origin has the number of its first
  for (OriginId id : merged_origins(compiled_.origins, origin))
    if (const int32_t ordinal = compiled_.origins[id].ordinal; ordinal > 0 && seen.insert(ordinal).second)
      at->second.push_back(ordinal - 1);
  return at->second;
}

int64_t FusedPrices::of(int32_t op) const {
  int64_t sum = 0;
  for (const std::vector<int64_t>& on_device : shares) sum += on_device[op];
  return sum;
}

int64_t FusedPrices::launches() const {
  int64_t sum = 0;
  for (const std::vector<int64_t>& on_device : shares) sum = std::accumulate(on_device.begin(), on_device.end(), sum);
  return sum;
}

FusedPrices price_as_fused(const TracedGraph& traced, const PassContext& context, const std::vector<DeviceId>& devices,
                           const std::vector<int>& labels) {
  const std::vector<std::optional<double>> seconds = price_each(traced.compiled(), context);
  return {share_out(traced.compiled(), context, devices, labels.size(), seconds),
          when_done(traced.compiled(), context, seconds)};
}

FusedPrices price_as_fused(const Graph& graph, const PassContext& context, const std::vector<DeviceId>& devices,
                           const std::vector<int>& labels, CompiledPlacements* known) {
  if (!known) return price_as_fused(TracedGraph(graph, context, devices, labels, nullptr), context, devices, labels);
  const CompiledPlacements::Compiled& compiled = known->find(graph, context, devices, labels);
  const std::vector<int32_t> order = overlap_order(compiled.graph, context, compiled.seconds);
  if (order.empty()) return {compiled.shares, when_done(compiled.graph, context, compiled.seconds)};
  std::vector<std::optional<double>> seconds;
  for (int32_t op : order) seconds.push_back(compiled.seconds[op]);
  return {compiled.shares, when_done(in_order(compiled.graph, order), context, seconds)};
}

const CompiledPlacements::Compiled& CompiledPlacements::find(const Graph& graph, const PassContext& context,
                                                             const std::vector<DeviceId>& devices,
                                                             const std::vector<int>& labels) {
  if ((made_.size() + 1) * labels.size() > most_ops && !made_.contains(labels)) made_.clear();
  auto [at, is_new] = made_.try_emplace(labels);
  Compiled& made = at->second;
  if (is_new) made.graph = compile(graph, context, devices, labels, "fuse");
  if (is_new || made.speeds != speeds_) {
    made.seconds = price_each(made.graph, context);
    made.shares = share_out(made.graph, context, devices, labels.size(), made.seconds);
    made.speeds = speeds_;
  }
  return made;
}

}  // namespace placewright
