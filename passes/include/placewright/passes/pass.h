// Passes: pure functions from Graph to Graph, by value. passes.def is the one list, in the order in which they run.
// Every pass keeps the graph's meaning: inputs, results and updates stay in their order, and evaluate gives the same.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/target_model.h"

namespace placewright {

struct Machine;   // ir/machine.h
struct Profile;   // ir/profile.h
struct PlanFile;  // passes/plan_file.h

struct PassOptions {
  std::map<std::string, int64_t> symbols;  // sizes that `specialise` binds
  // Error, before anything runs, where the user's pins make an operand move; by default a transfer is inserted.
  bool strict = false;
  int64_t max_bytes_per_step = -1;       // Error if the planned transfers of a step exceed it; -1: no limit
  int64_t fold_limit_bytes = 64 * 1024;  // constants larger than this are not made at compile time
  // Of states, by name, that an earlier executable settled: they keep them.
  std::map<std::string, Layout> state_layouts;
};

// What passes may know. The pointers must outlive the passes; all of it is read-only.
struct PassContext {
  // The devices that ops may be placed on. Without any, `place` uses the machine's host and `decompose` expands all.
  std::map<DeviceId, const TargetModel*> targets;
  const Machine* machine = nullptr;  // null: one host named cpu:0 without costs
  const Profile* profile = nullptr;
  const PlanFile* plan = nullptr;  // that placement follows: its pins, and where ops stand that no pin moves
  PassOptions options;
};

struct Pass {
  std::string_view name;
  std::string_view summary;
  Graph (*run)(Graph graph, const PassContext& context);
};

std::span<const Pass> all_passes();            // each once
std::span<const Pass> pipeline();              // in the order in which they run; some run again
const Pass& find_pass(std::string_view name);  // Error lists the passes

struct PassTime {
  std::string_view pass;
  double seconds = 0;
};

struct PassHooks {
  bool verify = true;                                                              // the graph, after each pass
  std::function<void(std::string_view pass, const Graph& graph)> after = nullptr;  // to dump
  std::vector<PassTime>* times = nullptr;
};

// The passes of passes.def in order, from `first` to the next `last` behind it, both included; empty: from the start,
// to the end. Error if a pass breaks a graph: it names the pass.
Graph run_passes(Graph graph, const PassContext& context, const PassHooks& hooks = {}, std::string_view first = {},
                 std::string_view last = {});
Graph run_pass(const Pass& pass, Graph graph, const PassContext& context, const PassHooks& hooks = {});

#define PLACEWRIGHT_PASS(name, summary) Graph name(Graph graph, const PassContext& context);
#define PLACEWRIGHT_PASS_AGAIN(name)
#include "placewright/passes/passes.def"
#undef PLACEWRIGHT_PASS
#undef PLACEWRIGHT_PASS_AGAIN

}  // namespace placewright
