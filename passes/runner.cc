#include <chrono>

#include <fmt/core.h>

#include "placewright/base/join.h"
#include "placewright/passes/pass.h"

namespace placewright {
namespace {

constexpr Pass passes[] = {
#define PLACEWRIGHT_PASS(name, summary) {#name, summary, name},
#define PLACEWRIGHT_PASS_AGAIN(name)
#include "placewright/passes/passes.def"
#undef PLACEWRIGHT_PASS
#undef PLACEWRIGHT_PASS_AGAIN
};

constexpr Pass steps[] = {
#define PLACEWRIGHT_PASS(name, summary) {#name, summary, name},
#define PLACEWRIGHT_PASS_AGAIN(name) {#name, "", name},
#include "placewright/passes/passes.def"
#undef PLACEWRIGHT_PASS
#undef PLACEWRIGHT_PASS_AGAIN
};

}  // namespace

std::span<const Pass> all_passes() { return passes; }
std::span<const Pass> pipeline() { return steps; }

const Pass& find_pass(std::string_view name) {
  std::vector<std::string> names;
  for (const Pass& pass : passes) {
    if (pass.name == name) return pass;
    names.emplace_back(pass.name);
  }
  throw Error(fmt::format("there is no pass '{}'; there are: {}", name, join(names, ", ")));
}

Graph run_pass(const Pass& pass, Graph graph, const PassContext& context, const PassHooks& hooks) {
  auto start = std::chrono::steady_clock::now();
  graph = pass.run(std::move(graph), context);
  std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (hooks.times) hooks.times->push_back({pass.name, elapsed.count()});
  if (hooks.after) hooks.after(pass.name, graph);
  if (hooks.verify) {
    try {
      verify_graph(graph);
    } catch (const Error& error) {
      throw Error(fmt::format("after pass {}: {}", pass.name, error.what()));
    }
  }
  return graph;
}

Graph run_passes(Graph graph, const PassContext& context, const PassHooks& hooks, std::string_view first,
                 std::string_view last) {
  size_t begin = 0, end = std::size(steps);
  if (!first.empty()) {
    find_pass(first);
    while (steps[begin].name != first) ++begin;
  }
  if (!last.empty()) {
    find_pass(last);
    end = begin + 1;
    while (end < std::size(steps) && steps[end - 1].name != last) ++end;
    if (steps[end - 1].name != last)
      throw Error(fmt::format("pass {} does not run behind {}", last, steps[begin].name));
  }
  for (size_t i = begin; i < end; ++i) graph = run_pass(steps[i], std::move(graph), context, hooks);
  return graph;
}

}  // namespace placewright
