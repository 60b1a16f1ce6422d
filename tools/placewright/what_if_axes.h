// What the command line of `what-if` varies. Error where a range is none, or names what the graph or machine lacks.
#pragma once

#include "what_if.h"

namespace placewright::tools {

// A graph as it was given, and its plan.
struct VariedGraph {
  std::shared_ptr<const Graph> graph;
  std::map<std::string, int64_t> symbols;
  std::shared_ptr<const GraphPlacement> placed;
};

Axis size_axis(const std::string& option, const std::string& text, const VariedGraph& varied);  // "B=1:4096"
Axis batch_axis(const std::string& text, const VariedGraph& varied);                            // "1:4096"
Axis link_axis(const std::string& text, const VariedGraph& varied);                             // "cpu:cuda=10:900"

// The symbol that is the batch; empty if it is a number, or there is none.
std::string batch_symbol(const Graph& graph);

}  // namespace placewright::tools
