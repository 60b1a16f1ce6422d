// Chooses a device for each op of a graph's entry function. Internal to passes: what a better optimiser replaces.
// Pins, colocation, propagation from pinned values; what is left goes where the whole step costs least.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fused_prices.h"
#include "placewright/passes/placement.h"
#include "placewright/passes/plan_file.h"

namespace placewright {

struct FlipPrice;
struct FusedPlacement;
struct MakespanSolution;
struct PlacementChoice;

struct Decision {
  DeviceId device;
  PlacementCause cause = PlacementCause::only_device;
  int32_t because = -1;  // the op whose device decided, where there is one
  bool firm = false;     // follows from a pin: it spreads to neighbours, and a copy against it is a conflict of pins
  std::map<DeviceId, RejectedDevice> rejected;
  SourceSite site = {};  // of the line in the plan file
  bool by_plan_file = false;
};

class PlacementSolver {
 public:
  // `compiled`: only devices are asked for, of a graph of which this was compiled before; null: reasons, too.
  PlacementSolver(const Graph& graph, const PassContext& context, CompiledPlacements* compiled = nullptr);
  std::vector<Decision> solve();  // one for each op

  const std::vector<DeviceId>& devices() const { return devices_; }
  const DeviceId& host() const { return host_; }
  const std::shared_ptr<const SolvedPlacement>& solved() const { return solved_; }  // null on one device
  // An op's share of its launches, as fused; 0 on one device.
  double seconds(int32_t op) const;
  int64_t done() const { return done_; }   // as PlacementPlan has it
  std::string describe(int32_t op) const;  // "dot_general (train.cc:31)", "x (train.cc:12)"
  SourceSite site(int32_t op) const;       // no file if unknown
  // Empty if the device runs the op, be it as what it decomposes to, and the graph's rules allow it.
  std::string refusal(int32_t op, const DeviceId& device) const;

  // Why not there, where `refusal` gave `cause`.
  RejectedDevice refused(int32_t op, const DeviceId& device, const std::string& cause) const;
  // The rule that keeps the op off a device that could run it, or null.
  const PlacementRule* rule_against(int32_t op, const DeviceId& device) const;

 private:
  static std::string disallowance(const PlacementRule& rule);
  void read_rules();
  void require_common_devices();
  int32_t root(int32_t op);
  void colocate_states();
  void fix_pins();
  void fix_pins_of_plan(const std::vector<std::string>& keys);
  void follow_plan(const std::vector<std::string>& keys);
  void require_device_of_row(const PlanFile::Row& row) const;
  SourceSite site_in_plan(int line) const;
  std::string pin_site(int32_t op) const;
  std::string conflict_of_pins(int32_t op, const DeviceId& device, const std::string& site);
  std::string bond(int32_t op, int32_t other) const;
  void fix_only_devices();
  bool spread_forward();
  bool spread_backward();
  bool read_on_several_devices(int32_t op);
  int32_t deciding_operand(const Op& op);
  bool try_decide(int32_t op, int32_t because, PlacementCause cause);
  void choose_by_cost();
  PlacementChoice make_choice(std::vector<int> group_of, int groups);
  std::optional<MakespanSolution> choose_by_makespan(const PlacementChoice& choice, FusedPlacement& placed);
  FusedPlacement without_idle_moves(const PlacementChoice& choice, const FusedPlacement& least_sum,
                                    const Labels& labels) const;
  bool fits(const PlacementChoice& choice, const FusedPlacement& placed, const Labels& labels) const;
  void explain(const PlacementChoice& choice, const FusedPlacement& placed, const MakespanSolution* at_once,
               const std::vector<int32_t>& roots);
  RejectedDevice later(const PlacementProblem& problem, const MakespanSolution& chosen, int group, int label,
                       const std::vector<int>& order, const SourceSite& site) const;
  RejectedDevice no_room(const std::vector<int32_t>& group, const DeviceId& device, int64_t peak, int64_t cap) const;
  RejectedDevice refusal_of_group(const std::vector<int32_t>& group, const DeviceId& device) const;
  // `dearest`: the value that `price` names.
  RejectedDevice dearer(const FlipPrice& price, Value dearest, const DeviceId& device, const SourceSite& site) const;

  bool decided(int32_t op) { return decisions_[root(op)].has_value(); }
  void decide(int32_t op, Decision decision);
  const Graph& parts(int32_t op) const;
  std::string find_refusal(int32_t op, const DeviceId& device) const;
  void require_device(const Op& op, const DeviceId& device, const std::string& site) const;

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  CompiledPlacements* compiled_;
  std::vector<DeviceId> devices_;
  DeviceId host_;
  std::vector<int32_t> parents_;                    // union-find: ops that stay together
  std::vector<std::optional<Decision>> decisions_;  // of each root
  std::vector<int32_t> decided_op_;                 // of each root: the op that was decided itself
  std::vector<std::vector<int32_t>> readers_;
  std::vector<std::vector<const PlacementRule*>> allowed_by_;  // of each op; empty: no rule limits any
  std::shared_ptr<const SolvedPlacement> solved_;
  FusedPrices prices_;  // of what was chosen
  int64_t done_ = 0;
  mutable std::map<int32_t, Graph> parts_;  // of composites, made when they are asked for
  mutable std::vector<bool> runs_;          // of each op on each device: known that `refusal` is empty
};

}  // namespace placewright
