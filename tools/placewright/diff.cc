// placewright diff: what differs between two plan files, by class, and why.
#include <fmt/core.h>

#include "command.h"
#include "drift_report.h"
#include "placewright/plan_files.h"

namespace placewright::tools {

int diff(const DiffOptions& options) {
  DriftReport report = compare(read_plan_file(options.before), read_plan_file(options.after), options.drift);
  fmt::print("{}", print(report, options.drift));
  return report.fails ? drift : success;
}

}  // namespace placewright::tools
