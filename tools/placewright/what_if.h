// What `what-if` says: along one size or one link's speed, which placements are optimal where, and what moves between
// them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placewright/run_graph.h"

namespace placewright::tools {

// A plan at one number, or why there is none.
struct PlanAt {
  std::optional<PlacementForecast> forecast;
  std::string fault;
};

// What varies: numbers by their index, ascending.
struct Axis {
  std::string kind;  // "size" or "link"
  std::string name;  // the symbol, "batch", or the two ends "cpu:0:cuda:0"
  std::string unit;  // "" or "GB/s"
  std::string what;  // for people: "the batch, the leading size of input, 128 as captured"
  int64_t low = 0, high = 0;
  std::function<double(int64_t index)> number;
  std::function<PlanAt(int64_t index)> plan_at;
};

struct RangeOps {
  size_t ops = 0;     // that take time
  size_t others = 0;  // inputs, views, constants
};

struct PlacementRange {
  int64_t from = 0, to = 0;  // indices, both included
  std::string fault;         // no placement
  double seconds_from = 0, seconds_to = 0;
  std::map<DeviceId, RangeOps> devices;
};

// Ops that stand elsewhere from a number on.
struct BorderMove {
  DeviceId from, to;
  std::vector<std::string> ops;  // that take time, by key
  size_t others = 0;
};

struct Border {
  int64_t at = 0;  // index: from here on
  std::vector<BorderMove> moves;
  size_t appeared = 0, gone = 0;  // ops that the graph has only behind it, or only before
};

struct WhatIf {
  Axis axis;
  std::vector<PlacementRange> ranges;
  std::vector<Border> borders;  // between each two ranges
  bool is_exhaustive = false;   // every number was planned
  int plans = 0;
  bool is_simulated = false;  // steps are when the last device is done, since a plan was chosen by that; else sums
};

// Ranges end where the placement at their beginning is no longer optimal; where sums are not what counts, where the
// plan is another one.
WhatIf find_ranges(const Axis& axis);

std::string what_if_text(const WhatIf& answer, const Machine& machine);

}  // namespace placewright::tools
