// What `why` says of one op: where it is, what keeps it off each other device, and the smallest change of each kind
// that would put it there.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "placewright/run_graph.h"

namespace placewright::tools {

// One kind of change: an op in another dtype, faster links, more memory, a pin less, a faster device.
struct FlipChange {
  std::string kind;  // "cast", "link", "memory", "pin", "speed"
  bool flips = false;
  std::string text;    // what to change, or why nothing of this kind is enough
  double now = 0;      // GB/s, bytes, times as fast; 0 where there is no number
  double needed = 0;   // the smallest that flips
  std::string object;  // dtypes, the two ends of the link, the device, the line of the pin
  // What a step then takes more (less: negative), by the plan's objective.
  std::optional<double> seconds;
};

struct ElsewhereReport {
  std::vector<DeviceId> devices;  // alike: one answer is all their answer
  RejectedDevice rejected;        // the first one's
  std::optional<double> island_seconds;
  std::optional<double> pinned_seconds;  // that a step takes more if the program pins the op there; nothing: it cannot
  std::vector<FlipChange> changes;
};

struct WhyReport {
  std::string model, machine;
  const GraphPlacement* placed = nullptr;
  int32_t op = -1;
  double step_seconds = 0;      // by forecast, as all that it is compared with
  std::vector<int32_t> island;  // ops on this device that values connect with it
  std::vector<ElsewhereReport> elsewhere;
  std::string searched;  // how, and what that leaves open

  const OpPlacement& placement() const { return placed->plan.ops[op]; }
};

// The op that a key of plan files, an op's name or a line ("train.cc:12") means. Error lists what could be meant.
int32_t find_op(const GraphPlacement& placed, const std::string& text);

WhyReport explain(const GraphPlacement& placed, int32_t op);

std::string why_text(const WhyReport& report);
std::string why_json(const WhyReport& report);

}  // namespace placewright::tools
