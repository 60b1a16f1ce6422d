#include "plan_actions.h"

#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/file.h"

namespace placewright::tools {
namespace {

// The plan that was made has the machine's devices alone; one that the file names beside them is another machine's.
void require_machine_of(const PlanFile& given, const Machine& machine) {
  for (const PlanFile::Row& row : given.rows)
    for (const DeviceId& device : row.devices)
      if (!machine.try_find(device))
        throw Error(
            fmt::format("{}:{}: {} is on {}, which this machine does not have: the plan is another machine's; "
                        "check it with that --machine, or take the new plan with --accept",
                        given.name, row.line, row.key, device.to_string()));
}

}  // namespace

std::optional<PlanFile> read_given_plan(const PlanActions& actions) {
  if (!actions.plan.empty()) return read_plan_file(actions.plan);
  if (!actions.check.empty()) return read_plan_file(actions.check);
  return {};
}

std::optional<PlanFile> plan_to_follow(const PlanActions& actions, const std::optional<PlanFile>& given) {
  return given && !actions.check.empty() ? pins_of(*given) : given;
}

void require_model_of(const PlanFile& given, const PlanFile& made) {
  const auto known = std::count_if(given.rows.begin(), given.rows.end(),
                                   [&](const PlanFile::Row& row) { return made.find(row.key) != nullptr; });
  const auto rows = static_cast<std::ptrdiff_t>(given.rows.size());
  if (given.header.model == made.header.model || 2 * known >= rows) return;
  throw Error(
      fmt::format("{}: the plan is another model's ({}): only {} of its {} ops are in {}; expected its own "
                  "plan, or a new one with -o",
                  given.name, given.header.model, known, rows, made.header.model));
}

int check_plan(const PlanActions& actions, const PlanFile& given, const PlanFile& made, const GraphPlacement& placed,
               const std::string& model) {
  require_plan_of(given, op_keys(placed.planned));
  if (!actions.accept) require_machine_of(given, placed.machine);
  DriftReport report = compare(given, made, actions.drift);
  report.before = given.name;
  report.after = model;
  const bool accepted = actions.accept && report.exceeded.empty();
  const std::string text = print(report, actions.drift);
  if (accepted && !report.drifts.empty())
    write_file_atomically(actions.check, print_plan_file(made, given.proof.has_value()));
  fmt::print("{}", text);
  if (accepted) return success;
  return report.fails ? drift : success;
}

}  // namespace placewright::tools
