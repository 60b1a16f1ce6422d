#include "placing.h"

#include <optional>

#include "command.h"
#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/placement_rules.h"
#include "placewright/session.h"

namespace placewright::tools {

Graph read_model(const ModelFiles& files) {
  Graph graph = parse_graph(read_text_file(files.graph), files.graph);
  if (!files.rules.empty())
    for (PlacementRule& rule : rules::read(files.rules)) graph.rules.push_back(std::move(rule));
  return graph;
}

GraphPlacement place_as_asked(const PlacingOptions& options, const Graph& graph,
                              const std::map<std::string, int64_t>& symbols, const PlanFile* followed) {
  if (options.machine.empty()) {
    configure(SessionOptions{.devices = options.devices, .strict = options.strict, .use_cache = false});
    return place_graph(graph, symbols, followed);
  }
  Machine machine = read_machine(options.machine);
  std::optional<Profile> profile;
  if (!options.profile.empty()) profile = read_profile(options.profile, machine);
  return place_graph(graph, machine, symbols, options.strict, profile ? &*profile : nullptr, followed);
}

}  // namespace placewright::tools
