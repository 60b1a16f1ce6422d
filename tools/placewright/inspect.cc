// placewright inspect: what is in a graph.
#include <algorithm>
#include <map>
#include <vector>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/file.h"
#include "placewright/ir/graph.h"

namespace placewright::tools {
namespace {

std::string count_text(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// A symbolic size counts with its bound.
int64_t largest_bytes(const TensorType& type) {
  TensorType bound = type;
  for (Dim& dim : bound.shape) dim = Dim(dim.bound());
  return bound.bytes();
}

void print_inputs(const Function& function, InputKind kind) {
  struct Row {
    std::string name, type;
    int64_t bytes;
  };
  std::vector<Row> rows;
  int64_t total = 0;
  size_t name_width = 0, type_width = 0;
  for (Value input : function.inputs) {
    if (input_kind(function, input) != kind) continue;
    rows.push_back(
        {input_name(function, input), function.type(input).to_string(), largest_bytes(function.tensor(input))});
    total += rows.back().bytes;
    name_width = std::max(name_width, rows.back().name.size());
    type_width = std::max(type_width, rows.back().type.size());
  }
  if (rows.empty()) return;
  fmt::print("  {}, {}\n", bold(count_text(rows.size(), name(kind))), bytes_text(total));
  for (const Row& row : rows)
    fmt::print("    {:<{}}  {:<{}}  {}\n", row.name, name_width, row.type, type_width, bytes_text(row.bytes));
}

void print_function(const Graph& graph, const Function& function) {
  fmt::print("{}\n", bold(fmt::format("function {}, {}", function.name, count_text(function.ops.size(), "op"))));
  for (InputKind kind : {InputKind::argument, InputKind::state, InputKind::constant}) print_inputs(function, kind);

  fmt::print("  {}", bold(count_text(function.results.size(), "result")));
  for (size_t i = 0; i < function.results.size(); ++i)
    fmt::print("{} {}", i == 0 ? ":" : ",", function.type(function.results[i]).to_string());
  fmt::print("\n");
  if (!function.updates.empty()) fmt::print("  {}\n", bold(count_text(function.updates.size(), "update")));

  std::map<std::string, size_t> counts, roles;
  std::map<std::string, size_t> pins;
  for (const Op& op : function.ops) {
    if (op.is("input")) continue;
    ++counts[std::string(op.name())];
    ++roles[std::string(name(graph.origins[op.origin].role))];
    if (op.pin) ++pins[op.pin->device.to_string()];
  }
  auto print_counts = [](std::string_view title, const std::map<std::string, size_t>& map) {
    if (map.empty()) return;
    std::vector<std::pair<std::string, size_t>> sorted(map.begin(), map.end());
    std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    fmt::print("  {}:", bold(title));
    for (size_t i = 0; i < sorted.size(); ++i)
      fmt::print("{} {} {}", i == 0 ? "" : ",", sorted[i].second, sorted[i].first);
    fmt::print("\n");
  };
  print_counts("ops", counts);
  print_counts("roles", roles);
  print_counts("pins", pins);
}

}  // namespace

int inspect(const InspectOptions& options) {
  Graph graph = parse_graph(read_text_file(options.file), options.file);
  if (options.text) {
    fmt::print("{}", print_graph(graph));
    return success;
  }
  fmt::print("{}: {}\n", options.file, count_text(graph.functions.size(), "function"));
  for (const Function& function : graph.functions) print_function(graph, function);
  return success;
}

}  // namespace placewright::tools
