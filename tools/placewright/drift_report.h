// How drift between plans is shown and judged: by `diff` and by `place --check`.
#pragma once

#include <string>
#include <vector>

#include "command.h"
#include "placewright/passes/plan_file.h"

namespace placewright::tools {

struct DriftReport {
  std::string before, after;  // for people: files
  std::vector<Drift> drifts;
  std::vector<Drift> exceeded;  // limits; `what` names the limit
  bool fails = false;
};
// The limits that a plan exceeds.
std::vector<Drift> find_exceeded(const PlanFile& plan, const DriftOptions& options);
DriftReport compare(const PlanFile& before, const PlanFile& after, const DriftOptions& options);

std::string limits_text(const std::vector<Drift>& exceeded);  // a line each
std::string print(const DriftReport& report, const DriftOptions& options);

}  // namespace placewright::tools
