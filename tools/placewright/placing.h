// A plan for the devices that the command line names: those of this machine, or those of a machine file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "placewright/run_graph.h"

namespace placewright::tools {

struct PlacingOptions {
  std::string devices = "cpu", machine, profile;  // `machine`: another one than this, or empty
  bool strict = false;
  std::vector<std::string> memory = {};  // of this machine's devices: what --memory says
};

// The graph of a file, with the rules of another one if that is named.
struct ModelFiles {
  std::string graph, rules;
};
Graph read_model(const ModelFiles& files);

// `followed`: a plan file that placement follows, or null.
GraphPlacement place_as_asked(const PlacingOptions& options, const Graph& graph,
                              const std::map<std::string, int64_t>& symbols, const PlanFile* followed = nullptr);

}  // namespace placewright::tools
