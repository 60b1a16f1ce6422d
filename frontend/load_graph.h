// One specialisation: a captured graph, compiled (or found in the cache) and bound to the session's devices and states.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "capture/node.h"
#include "placewright/compile.h"
#include "placewright/kernel_report.h"
#include "placewright/passes/memory_need.h"
#include "placewright/passes/placement.h"
#include "placewright/runtime/executable.h"
#include "program_bytes.h"
#include "session_body.h"

namespace placewright::capture {

// What all passes make of a captured graph: ops are launches, copies, or nothing to run; and the plan, whose ledger is
// that graph's. In strict mode a transfer that nobody asked for is an Error.
struct Placed {
  Graph graph;
  PlacementPlan plan;
};
// What the plan was made for: its ops have the plan's numbers.
struct Planned {
  Graph graph;
  std::vector<PlannedTransfer> transfers;  // as they were foreseen for it
};
// `planned` is for those who ask.
Placed place_captured(const Graph& captured, const PassContext& context, Planned* planned = nullptr);

// What runs a captured graph. The cache knows it by that graph, so that a process which finds it there runs no pass.
struct FoundProgram {
  KeptProgram kept;
  bool from_cache = false;
  std::optional<PlacementPlan> plan;  // nothing from the cache
  std::optional<Graph> placed;        // the same
};
// In strict mode an unasked-for transfer ends here.
FoundProgram find_or_compile(const Graph& captured, const PassContext& context, Session& session);

// Replicas of states, of data parallelism, begin with their state's value.
void fill_replicas(const Program& program, StateStore& states);

class LoadedGraph final : public Specialisation, public std::enable_shared_from_this<LoadedGraph> {
 public:
  // The one function that chains the stages: passes, placement's report, cache or code generation, binding.
  // `plan`: the plan file that placement follows, or null. Error if a step would copy more than `max_bytes_per_step`
  // between devices; -1: no limit.
  static std::shared_ptr<LoadedGraph> load(Captured captured, const std::shared_ptr<Session>& session,
                                           std::shared_ptr<const PlanFile> plan = nullptr,
                                           int64_t max_bytes_per_step = -1);

  // `arguments` and then `scalars` stand for the graph's arguments that are the caller's; values that the graph was
  // captured with are its own. `results`, the first ones or all, become tensors that are read when somebody asks.
  // One call at a time: it is the owner who sees to that.
  void run(std::span<const Tensor* const> arguments, std::span<const double> scalars, std::span<Tensor> results);
  // Lazy graphs of equal text share one specialisation: values come with each call, nothing is kept for the next, and
  // callers take turns.
  void serve_lazily() {
    own_values_.clear();
    keeps_results_ = false;
  }
  void run_lazily(std::span<const Tensor* const> arguments, std::span<Tensor> results);

  const Graph& captured() const override { return captured_; }
  const Graph& placed() const override;
  const PlacementPlan& placement() const override;
  const std::vector<KernelReport>& kernels() const override { return kernels_; }
  std::vector<PerformedLaunch> libraries() const override;
  std::vector<DeviceNeed> memory() const override;
  double compile_seconds() const override { return compile_seconds_; }
  bool from_cache() const override { return from_cache_; }
  const std::vector<std::string>& notices() const override { return notices_; }
  const Program& program() const override { return executable_->program(); }
  int64_t planned_step_bytes() const override { return planned_step_bytes_; }
  int64_t step_transfer_bytes() const override { return context_->transfers().bytes + argument_bytes_; }
  int64_t load_transfer_bytes() const override { return executable_->load_transfers().bytes; }
  int64_t read_back_bytes() const override { return context_->read_back().bytes; }
  int64_t steps_at_once() const override { return context_->steps().at_once; }
  const std::string& why_piecewise() const override { return context_->steps().why_piecewise; }

 private:
  LoadedGraph() = default;
  // Where an argument of the program is read.
  struct Argument {
    Device* device;
    const ProgramBuffer* buffer;
    int64_t bytes;  // row-major, as tensors of the argument's type hold them
  };
  // Nodes of one result by turns: one that nobody else holds any more serves again, with its memory.
  struct ResultNodes {
    NodePtr nodes[2];
    size_t next = 0;
  };
  void take_state(const std::shared_ptr<State>& state);
  void prepare();
  BufferView view_of_argument(const Tensor& tensor, const Argument& argument);
  BufferView upload(const Tensor& tensor, const Argument& argument);
  NodePtr make_result(size_t i) const;
  const NodePtr& next_result(size_t i);
  void decide() const;
  PassContext pass_context() const;

  std::shared_ptr<Session> session_;
  Device* host_ = nullptr;  // the session's
  Graph captured_;
  mutable std::mutex decided_mutex_;
  mutable std::optional<Graph> placed_;  // made when somebody asks, if the program came from the cache
  mutable std::optional<PlacementPlan> plan_;
  int64_t planned_step_bytes_ = 0;
  double compile_seconds_ = 0;
  bool from_cache_ = false;
  std::vector<std::string> notices_;
  std::vector<KernelReport> kernels_;
  std::vector<Tensor> own_values_;  // arguments of the graph that it was captured with
  std::vector<std::shared_ptr<State>> states_;
  std::shared_ptr<const PlanFile> followed_;
  int64_t max_bytes_per_step_ = -1;
  std::map<std::string, Layout> state_layouts_;  // of those that earlier executables had settled
  std::shared_ptr<const placewright::Executable> executable_;

  std::mutex mutex_;  // of run_lazily
  std::unique_ptr<Context> context_;
  std::vector<Argument> arguments_;
  std::vector<BufferView> views_;  // of the arguments
  HostTensor scalars_;
  // What views_ point into, for the time of a run: callers may let go of their tensors, or use them elsewhere.
  std::vector<HostTensor> held_;
  std::vector<std::shared_ptr<Resident>> residents_;
  std::vector<ResultNodes> results_;
  bool keeps_results_ = true;
  int64_t argument_bytes_ = 0;  // uploaded by the last run for tensors whose device the user named
};

}  // namespace placewright::capture
