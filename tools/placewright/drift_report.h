// How drift between plans is shown and judged: by `diff` and by `place --check`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placewright/passes/plan_file.h"

namespace CLI {
class App;
}

namespace placewright::tools {

struct DriftOptions {
  std::vector<std::string> fail_on = {"device", "bytes", "peak", "time"};
  double tolerance = 0.03;
  std::string format;  // text, json, markdown, github; empty: text
  int64_t max_bytes_per_step = -1, max_memory = -1;
};
void add_drift_options(CLI::App& command, DriftOptions& options);
void add_limit_options(CLI::App& command, DriftOptions& options);

struct DriftReport {
  std::string before, after;  // for people: files
  std::vector<Drift> drifts;
  std::vector<Drift> exceeded;  // limits; `what` names the limit
  bool fails = false;
};
DriftReport compare(const PlanFile& before, const PlanFile& after, const DriftOptions& options);

std::string print(const DriftReport& report, const DriftOptions& options);

}  // namespace placewright::tools
