// placewright fit: on which machines a step of a graph fits, what it takes there, and what would make it fit.
#include "fit.h"

#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/base/join.h"

namespace placewright::tools {
namespace {

// Symbols of the inputs and their bounds, in the order in which they are met.
std::vector<Dim> symbols_of(const Graph& graph) {
  std::vector<Dim> symbols;
  std::map<std::string, bool> known;
  for (Value input : graph.main().inputs)
    for (const Dim& dim : graph.main().tensor(input).shape)
      if (!dim.is_number() && known.try_emplace(dim.symbol_name(), true).second) symbols.push_back(dim);
  return symbols;
}

// The first dimension of an argument.
std::string batch_of(const Graph& graph, const std::vector<Dim>& symbols, const std::string& asked) {
  if (!asked.empty()) {
    std::vector<std::string> names;
    for (const Dim& symbol : symbols) {
      if (symbol.symbol_name() == asked) return asked;
      names.push_back(symbol.symbol_name());
    }
    throw Error(names.empty()
                    ? fmt::format("--batch {}: the sizes of this graph are numbers", asked)
                    : fmt::format("--batch {}: the graph has no such symbol, only {}", asked, join(names, ", ")));
  }
  for (Value input : graph.main().inputs) {
    const Shape& shape = graph.main().tensor(input).shape;
    if (input_kind(graph.main(), input) == InputKind::argument && !shape.empty() && !shape[0].is_number())
      return shape[0].symbol_name();
  }
  return "";
}

// The sizes as they were given, and the bounds of the others.
void bind_symbols(const std::vector<Dim>& symbols, FitReport& report) {
  std::vector<std::string> names;
  for (const Dim& symbol : symbols) {
    names.push_back(symbol.symbol_name());
    auto [at, is_new] = report.symbols.try_emplace(symbol.symbol_name(), symbol.bound());
    if (is_new) report.at_bound.push_back(symbol.symbol_name());
    if (at->second > symbol.bound())
      throw Error(
          fmt::format("--symbol {}={}: the bound of {} is {}", at->first, at->second, at->first, symbol.bound()));
  }
  for (const auto& [given, size] : report.symbols)
    if (std::find(names.begin(), names.end(), given) == names.end())
      throw Error(names.empty() ? fmt::format("--symbol {}={}: the sizes of this graph are numbers", given, size)
                                : fmt::format("--symbol {}={}: the graph has no such symbol, only {}", given, size,
                                              join(names, ", ")));
}

FitRow judge(const Graph& graph, const FitReport& report, const std::string& name) {
  FitRow row;
  row.name = name;
  row.machine = read_machine(name);
  const FitProbe probe(graph, row.machine);
  row.plan = probe.plan(report.symbols);
  if (row.plan.fits() && !row.plan.is_limited) {
    row.freely = row.plan;
    return row;
  }
  row.freely = probe.plan_freely(report.symbols);
  if (row.plan.fits()) {
    row.verdict = FitVerdict::displaced;
  } else {
    row.verdict = row.freely.is_made() ? FitVerdict::too_large : FitVerdict::refused;
    row.cause = row.plan.fault;
    row.plan = row.freely;
  }
  if (row.verdict != FitVerdict::refused) find_changes(probe, report, row);
  return row;
}

}  // namespace

int fit(const FitOptions& options) {
  const Graph graph = parse_graph(read_text_file(options.file), options.file);
  FitReport report;
  report.model = options.file;
  report.symbols = parse_symbols(options.symbols);
  const std::vector<Dim> symbols = symbols_of(graph);
  report.batch = batch_of(graph, symbols, options.batch);
  bind_symbols(symbols, report);
  for (const std::string& name : options.machines) read_machine(name);  // all are good before the first is judged
  for (const std::string& name : options.machines) report.rows.push_back(judge(graph, report, name));
  fmt::print("{}", options.format == "json" ? fit_json(report) + "\n" : fit_text(report));
  if (!options.must_fit) return success;
  for (const FitRow& row : report.rows)
    if (row.verdict == FitVerdict::too_large || row.verdict == FitVerdict::refused) return finding;
  return success;
}

}  // namespace placewright::tools
