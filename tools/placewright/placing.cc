#include "placing.h"

#include <algorithm>
#include <optional>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/base/join.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/placement_rules.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

void require_symbols_of(const Graph& graph, const std::map<std::string, int64_t>& symbols) {
  if (graph.functions.empty()) return;
  std::vector<std::string> known;
  for (const Op& op : graph.main().ops)
    for (const Type& type : op.results)
      for (const Dim& dim : type.tensor().shape)
        if (!dim.is_number() && std::find(known.begin(), known.end(), dim.symbol_name()) == known.end())
          known.push_back(dim.symbol_name());
  for (const auto& [name, size] : symbols)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw Error(fmt::format("--symbol {}={}: the graph has no such symbol{}", name, size,
                              known.empty() ? ", its sizes are numbers" : ", only " + join(known, ", ")));
}

}  // namespace

Graph read_model(const ModelFiles& files) {
  Graph graph = parse_graph(read_text_file(files.graph), files.graph);
  if (!files.rules.empty())
    for (PlacementRule& rule : rules::read(files.rules)) graph.rules.push_back(std::move(rule));
  return graph;
}

GraphPlacement place_as_asked(const PlacingOptions& options, const Graph& graph,
                              const std::map<std::string, int64_t>& symbols, const PlanFile* followed) {
  require_symbols_of(graph, symbols);
  if (options.machine.empty()) {
    configure(SessionOptions{.devices = options.devices,
                             .memory = parse_memory(options.memory),
                             .strict = options.strict,
                             .use_cache = false});
    return place_graph(graph, symbols, followed);
  }
  Machine machine = read_machine(options.machine);
  std::optional<Profile> profile;
  if (!options.profile.empty()) profile = read_profile(options.profile, machine);
  return place_graph(graph, machine, symbols, options.strict, profile ? &*profile : nullptr, followed);
}

}  // namespace placewright::tools
