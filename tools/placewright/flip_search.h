// Searches the smallest number at which an op moves to other devices, by planning again.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "placewright/passes/placement_sensitivity.h"
#include "placewright/run_graph.h"

namespace placewright::tools {

// Devices that differ in nothing but their names.
using Alike = std::vector<DeviceId>;

// Of results that no op on the host reads anyway: the host does, which the ledger of a step leaves out and placement
// weighs.
double read_back_seconds(const PlacementPlan& plan);
// That a plan was chosen by when its last device is done, and not by the sum of all times.
bool is_simulated(const PlacementPlan& plan);
// What a step takes, its results read: by simulation when its last device is done, else the sum of all times. Only what
// is counted the same way compares.
double step_seconds(const PlacementPlan& plan, bool by_simulation);

class FlipSearch {
 public:
  static constexpr double most_times = 1000;  // as fast, or as large: beyond that nobody asks

  // A figure of the machine: the machine at a number, and, where sums decide, the problem at the number of that index
  // among those of three digits, by the prices of the plan as it is.
  struct Figure {
    std::function<MachineFigures(double)> at;
    ParametricProblem problem_at;  // says where to look first; empty: nothing does
  };
  // The smallest number of three digits that flips the op, and the plan at it.
  struct Found {
    double number = 0;
    PlacementPlan plan;
  };

  FlipSearch(const GraphPlacement& placed, int32_t op);

  const PlacementPlan& now() const { return now_; }
  const SolvedPlacement* solved() const { return now_.solved.get(); }  // null on one device
  const DeviceId& here() const { return now_.ops[op_].where.devices.front(); }
  // The sum of all times decides, and nothing else.
  bool counts_sums() const { return solved() && !solved()->is_simulated && !solved()->is_limited; }

  // Nothing if there is no placement.
  std::optional<PlacementPlan> resolve(const Graph& graph, const MachineFigures& figures);
  static bool is_on(const std::optional<PlacementPlan>& plan, int32_t op, const Alike& devices);

  std::optional<Found> smallest(const Figure& figure, double now, const Alike& devices);

  bool gave_up() const { return gave_up_; }  // the last search, because the graph is too large for one
  std::string how() const;                   // what was done, and what it leaves open: for people

 private:
  // That the op is on one of the devices then.
  bool flips(const MachineFigures& figures, const Alike& devices);
  std::optional<int> by_problem(const Figure& figure, int first, int last, const Alike& devices) const;
  static std::optional<int> near(int guess, int without, int with, const std::function<bool(int)>& flips);
  static std::optional<int> outwards(double now, int first, int last, std::optional<int> guess,
                                     const std::function<bool(int)>& flips);

  const GraphPlacement& placed_;
  int32_t op_;
  PlacementPlan now_;  // as resolve makes it: what is compared has one origin
  int solved_again_ = 0;
  bool gave_up_ = false;
};

}  // namespace placewright::tools
