// What `placewright fit` finds for each machine: whether a step fits, what it takes, and what would make it fit. Each
// answer is a plan of the changed graph or machine, made as `place` makes it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "placement_report.h"
#include "placewright/passes/resize_batch.h"
#include "placewright/step_forecast.h"

namespace placewright::tools {

using Symbols = std::map<std::string, int64_t>;

// One plan.
struct FitPlan {
  std::string fault;                 // why there is none
  std::vector<DeviceMemory> memory;  // sorted by device; capacities are the machine's
  std::string unplanned_memory;      // why `memory` is empty
  StepForecast step;
  bool is_limited = false;  // with more memory another placement would take less time
  int64_t bytes_per_step = 0;
  std::vector<ReliefStep> relief;  // what leaves a memory that is too small, and comes back
  std::vector<DeviceId> homes;     // of each op of the planned graph

  bool is_made() const { return fault.empty(); }
  bool is_at_ease() const { return !is_limited && relief.empty(); }  // as with memory without end
  bool fits() const;                                                 // what each device needs is within what it has
};

enum class FitVerdict : uint8_t {
  fits,       // as it would be placed with any amount of memory
  squeezed,   // because values are recomputed or wait elsewhere, or ops and parameters are not where they are cheapest
  too_large,  // nothing that was tried fits
  refused,    // no plan even with memory without end: an op that nothing runs, a pin to a device that is not there
};
std::string_view name(FitVerdict verdict);

// Something that the user could do.
struct FitChange {
  std::string kind;   // "batch", "precision", "precision and batch"; "recompute", "offload", "displace"
  std::string value;  // "24", "f32", "f32, 24"
  std::string text;   // what it is, for people
  FitPlan plan;
  double seconds = 0;  // for the work of a step as it was asked for
  double loss = 0;     // of that, against the step with any amount of memory: 0.5 is half as long again
};

struct FitRow {
  std::string name;  // as it was given
  Machine machine;
  FitVerdict verdict = FitVerdict::fits;
  FitPlan plan;    // that `place` makes; when too large, the one with any amount of memory
  FitPlan freely;  // with any amount of memory; the same if it fits
  std::string cause;
  std::vector<FitChange> changes;    // least loss first
  std::vector<std::string> unasked;  // changes that cannot be had, and why
};

// What batches are asked about.
struct FitBatch {
  std::string name;   // a symbol, or an argument whose first dimension is the batch
  int64_t asked = 0;  // 0: there is none
  std::string cause;  // why it cannot be another one
};

// Of the graph, that a plan is asked for.
struct FitVersion {
  int64_t batch = 0;
  std::optional<DType> precision = {};  // that products and convolutions compute in instead of FitModel::wide()
};

// A graph, its sizes, and what its batch is.
class FitModel {
 public:
  // `batch`: what --batch says, or empty. Error: symbols or a batch that the graph does not have.
  FitModel(Graph graph, Symbols symbols, const std::string& batch);

  const Symbols& symbols() const { return symbols_; }
  const std::vector<std::string>& at_bound() const { return at_bound_; }  // symbols whose size nobody gave
  const FitBatch& batch() const { return batch_; }
  DType wide() const { return wide_; }                               // that its numbers are in: f32 or f64
  std::pair<Graph, Symbols> version(const FitVersion& asked) const;  // and the sizes that go with it

 private:
  std::vector<Dim> find_symbols() const;
  void bind(const std::vector<Dim>& symbols);
  void find_batch(const std::vector<Dim>& symbols, std::string asked);

  Graph graph_;
  Symbols symbols_;
  std::vector<std::string> at_bound_;
  FitBatch batch_;
  DType wide_ = DType::f32;
  std::unique_ptr<BatchResizer> resizer_;  // where the batch is a number
};

struct FitReport {
  std::string file;
  const FitModel* model = nullptr;
  std::vector<FitRow> rows;
};

// A model on one machine.
class FitProbe {
 public:
  FitProbe(const FitModel& model, const Machine& machine) : model_(model), machine_(machine), endless_(machine) {
    for (DeviceSpec& spec : endless_.devices) spec.memory_bytes = endless_bytes;
  }
  const FitModel& model() const { return model_; }
  FitPlan plan(const FitVersion& version) const { return plan(version, machine_); }  // as `place` makes it
  FitPlan plan_freely(const FitVersion& version) const { return plan(version, endless_); }

 private:
  static constexpr int64_t endless_bytes = int64_t{1} << 60;
  FitPlan plan(const FitVersion& version, const Machine& machine) const;

  const FitModel& model_;
  const Machine& machine_;
  Machine endless_;
};

void find_changes(const FitProbe& probe, FitRow& row);

std::string fit_text(const FitReport& report);  // at most 100 columns
std::string fit_json(const FitReport& report);

}  // namespace placewright::tools
