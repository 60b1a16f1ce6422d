// What rules ask of placement beside pins: devices that ops are allowed on, and ops that stay together.
#include <algorithm>

#include <fmt/core.h>

#include "placement_solver.h"
#include "placewright/base/join.h"

namespace placewright {
namespace {

std::string names_of(const std::vector<DeviceId>& devices) {
  std::vector<std::string> names;
  for (const DeviceId& device : devices) names.push_back(device.to_string());
  return join(names, ", ");
}

}  // namespace

void PlacementSolver::read_rules() {
  for (const PlacementRule& rule : graph_.rules) {
    if (rule.kind == PlacementRule::Kind::allow)
      for (const DeviceId& device : rule.devices)
        if (std::find(devices_.begin(), devices_.end(), device) == devices_.end())
          throw Error(fmt::format("{}: rule allow \"{}\" names {}, which is not here; devices: {}",
                                  rule.site.to_string(), rule.pattern, device.to_string(), names_of(devices_)));
    if (rule.kind == PlacementRule::Kind::pin) continue;  // a pin of each op by now
    int32_t first = -1;
    for (size_t i = 0; i < function_.ops.size(); ++i) {
      if (!means(rule, graph_, function_.ops[i])) continue;
      auto op = static_cast<int32_t>(i);
      if (rule.kind == PlacementRule::Kind::allow) {
        allowed_by_.resize(function_.ops.size());
        allowed_by_[i].push_back(&rule);
      } else if (first < 0) {
        first = op;
      } else {
        parents_[root(op)] = root(first);
      }
    }
  }
}

const PlacementRule* PlacementSolver::rule_against(int32_t op, const DeviceId& device) const {
  if (allowed_by_.empty()) return nullptr;
  for (const PlacementRule* rule : allowed_by_[op])
    if (std::find(rule->devices.begin(), rule->devices.end(), device) == rule->devices.end()) return rule;
  return nullptr;
}

std::string PlacementSolver::disallowance(const PlacementRule& rule) {
  return fmt::format("rule allow \"{}\" at {} leaves it {} only", rule.pattern, rule.site.to_string(),
                     names_of(rule.devices));
}

RejectedDevice PlacementSolver::refused(int32_t op, const DeviceId& device, const std::string& cause) const {
  const PlacementRule* rule = rule_against(op, device);
  return {device, rule ? RejectionKind::not_allowed : RejectionKind::no_kernel, cause, rule ? rule->site : site(op), 0};
}

// What keeps two ops together: the rule that means both, else one of a chain of rules; else it is the state.
std::string PlacementSolver::bond(int32_t op, int32_t other) const {
  const PlacementRule* found = nullptr;
  for (const PlacementRule& rule : graph_.rules) {
    if (rule.kind != PlacementRule::Kind::together) continue;
    const bool means_one = means(rule, graph_, function_.ops[op]),
               means_other = means(rule, graph_, function_.ops[other]);
    if (means_one && means_other) {
      found = &rule;
      break;
    }
    if (!found && (means_one || means_other)) found = &rule;
  }
  return found ? fmt::format("rule together \"{}\" at {}", found->pattern, found->site.to_string())
               : "a state and what makes its new value stay together";
}

// The line of an op's pin, of the op that it must stay with, and of what keeps them together.
std::string PlacementSolver::conflict_of_pins(int32_t op, const DeviceId& device, const std::string& site) {
  const int32_t group = root(op), decider = decided_op_[group];
  return fmt::format(
      "{}: {} is placed on {}, but must stay with {}, which {} places on {} ({}); take one of the pins away", site,
      describe(op), device.to_string(), describe(decider), pin_site(decider), decisions_[group]->device.to_string(),
      bond(op, decider));
}

// Ops that stay together need a device that all of them may run on.
void PlacementSolver::require_common_devices() {
  std::map<int32_t, std::vector<int32_t>> groups;
  for (size_t i = 0; i < function_.ops.size(); ++i) {
    auto op = static_cast<int32_t>(i);
    if (root(op) != op || decided(op)) continue;
    groups[op];
  }
  for (size_t i = 0; i < function_.ops.size(); ++i)
    if (auto at = groups.find(root(static_cast<int32_t>(i))); at != groups.end())
      at->second.push_back(static_cast<int32_t>(i));
  for (const auto& [group, members] : groups) {
    if (members.size() < 2) continue;
    std::vector<std::string> causes;
    for (const DeviceId& device : devices_) {
      auto refused =
          std::find_if(members.begin(), members.end(), [&](int32_t op) { return !refusal(op, device).empty(); });
      if (refused == members.end()) break;
      causes.push_back(
          fmt::format("{} not on {}: {}", describe(*refused), device.to_string(), refusal(*refused, device)));
    }
    if (causes.size() == devices_.size())
      throw NoPlacement(fmt::format("{} ops must stay together, {} among them, but no device runs all of them: {}",
                                    members.size(), describe(members.front()), join(causes, "; ")));
  }
}

}  // namespace placewright
