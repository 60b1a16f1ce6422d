// Following a plan file: its pins act as the user's; other ops stand where it says, unless a pin moves them or their
// device cannot run them any more.
#include <algorithm>

#include <fmt/core.h>

#include "placement_solver.h"
#include "placewright/passes/plan_file.h"

namespace placewright {

SourceSite PlacementSolver::site_in_plan(int line) const { return {context_.plan->name, line}; }

// Where the word stands that gave the op its device: a line of the program or of the plan file.
std::string PlacementSolver::pin_site(int32_t op) const {
  const Op& made = function_.ops[op];
  const std::optional<Decision>& decision = decisions_[op];
  if (decision && decision->by_plan_file) return decision->site.to_string();
  if (made.pin) return made.pin->site.to_string();
  return graph_.origins[made.origin].site();
}

void PlacementSolver::require_device_of_row(const PlanFile::Row& row) const {
  if (row.devices.size() == 1 && std::find(devices_.begin(), devices_.end(), row.devices[0]) != devices_.end()) return;
  std::string found = row.devices[0].to_string(), here;
  for (const DeviceId& known : devices_) here += (here.empty() ? "" : ", ") + known.to_string();
  throw Error(
      fmt::format("{}: {} is {} {}, which this machine does not have: its devices are {}; pin it to one of "
                  "these, or plan for the plan's machine",
                  site_in_plan(row.line).to_string(), row.key, row.is_pin() ? "pinned to" : "on", found, here));
}

void PlacementSolver::fix_pins_of_plan(const std::vector<std::string>& keys) {
  std::vector<bool> found(context_.plan->rows.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    const PlanFile::Row* row = context_.plan->find(keys[i]);
    if (!row || !row->is_pin()) continue;
    auto op = static_cast<int32_t>(i);
    found[static_cast<size_t>(row - context_.plan->rows.data())] = true;
    require_device_of_row(*row);
    const std::string site = site_in_plan(row->line).to_string();
    const DeviceId& device = row->devices[0];
    if (std::string cause = refusal(op, device); !cause.empty())
      throw Error(
          fmt::format("{}: {} is pinned to {}, which cannot run it: {}", site, row->key, device.to_string(), cause));
    const std::optional<Decision>& before = decisions_[root(op)];
    int32_t decider = decided_op_[root(op)];
    if (before && before->cause == PlacementCause::pinned && before->device != device)
      throw Error(
          fmt::format("{}: {} is pinned to {}, but {} {} on {}; take one of the pins away", site, row->key,
                      device.to_string(), pin_site(decider),
                      decider == op ? "places it" : fmt::format("places {}, which it stays with,", keys[decider]),
                      before->device.to_string()));
    if (before && before->cause == PlacementCause::pinned) continue;
    decide(op, {device, PlacementCause::pinned, -1, true, {}, site_in_plan(row->line), true});
  }
  for (size_t i = 0; i < found.size(); ++i)
    if (const PlanFile::Row& row = context_.plan->rows[i]; row.is_pin() && !found[i])
      throw Error(fmt::format("{}: {} is pinned to {}, but the model has no such op; take the line away",
                              site_in_plan(row.line).to_string(), row.key, row.devices[0].to_string()));
}

void PlacementSolver::follow_plan(const std::vector<std::string>& keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    const PlanFile::Row* row = context_.plan->find(keys[i]);
    if (!row || row->is_pin()) continue;
    auto op = static_cast<int32_t>(i);
    require_device_of_row(*row);
    const DeviceId& device = row->devices[0];
    const std::optional<Decision>& before = decisions_[root(op)];
    if (before && before->cause == PlacementCause::planned && before->device != device)
      throw Error(fmt::format("{}: {} is on {}, but stays with {}, which line {} has on {}",
                              site_in_plan(row->line).to_string(), row->key, device.to_string(),
                              keys[decided_op_[root(op)]], before->site.line, before->device.to_string()));
    if (before || !refusal(op, device).empty()) continue;
    decide(op, {device, PlacementCause::planned, -1, false, {}, site_in_plan(row->line), true});
  }
}

}  // namespace placewright
