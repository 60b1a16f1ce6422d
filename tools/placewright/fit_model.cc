// The graph that `placewright fit` asks about: its sizes, and its batch, a symbol or a number.
#include <algorithm>

#include <fmt/core.h>

#include "fit.h"
#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/passes/mixed_precision.h"
#include "placewright/passes/pass.h"

namespace placewright::tools {

FitModel::FitModel(Graph graph, Symbols symbols, const std::string& batch)
    : graph_(std::move(graph)), symbols_(std::move(symbols)) {
  if (graph_.functions.empty()) throw Error("the graph has no function, expected main");
  const std::vector<Dim> found = find_symbols();
  bind(found);
  find_batch(found, batch);
  for (Value input : graph_.main().inputs) {
    const TensorType& type = graph_.main().tensor(input);
    if (type.rank() > 0 && type.dtype == DType::f64) wide_ = DType::f64;
  }
}

std::pair<Graph, Symbols> FitModel::version(const FitVersion& asked) const {
  Symbols symbols = symbols_;
  if (asked.batch != batch_.asked && !resizer_) symbols[batch_.name] = asked.batch;
  Graph graph = asked.batch != batch_.asked && resizer_ ? resizer_->resized(asked.batch) : graph_;
  if (!asked.precision) return {std::move(graph), std::move(symbols)};
  PassContext context;
  context.options.symbols = symbols;
  return {mixed_precision(specialise(std::move(graph), context), wide_, *asked.precision), std::move(symbols)};
}

// Symbols of the inputs and their bounds, in the order in which they are met.
std::vector<Dim> FitModel::find_symbols() const {
  std::vector<Dim> symbols;
  for (Value input : graph_.main().inputs)
    for (const Dim& dim : graph_.main().tensor(input).shape) {
      auto same = [&](const Dim& known) { return known.symbol_name() == dim.symbol_name(); };
      if (!dim.is_number() && std::none_of(symbols.begin(), symbols.end(), same)) symbols.push_back(dim);
    }
  return symbols;
}

// Sizes that nobody gave are the bounds.
void FitModel::bind(const std::vector<Dim>& symbols) {
  std::vector<std::string> names;
  for (const Dim& symbol : symbols) {
    const std::string& name = names.emplace_back(symbol.symbol_name());
    auto [at, is_new] = symbols_.try_emplace(name, symbol.bound());
    if (is_new) at_bound_.push_back(name);
    if (at->second > symbol.bound())
      throw Error(fmt::format("--symbol {}={}: the bound of {} is {}", name, at->second, name, symbol.bound()));
  }
  for (const auto& [given, size] : symbols_)
    if (std::find(names.begin(), names.end(), given) == names.end())
      throw Error(fmt::format("--symbol {}={}: the graph has no such symbol{}", given, size,
                              names.empty() ? ", its sizes are numbers" : ", only " + join(names, ", ")));
}

// A symbol, or the first dimension of an argument.
void FitModel::find_batch(const std::vector<Dim>& symbols, std::string asked) {
  if (const std::optional<Dim> size = find_batch_size(graph_); asked.empty() && size && !size->is_number())
    asked = size->symbol_name();
  const Function& main = graph_.main();
  std::vector<std::string> known;
  for (const Dim& symbol : symbols) known.push_back(symbol.symbol_name());
  Value argument;
  if (std::find(known.begin(), known.end(), asked) == known.end()) {
    for (Value input : main.inputs) {
      if (input_kind(main, input) != InputKind::argument || main.tensor(input).rank() == 0) continue;
      known.push_back(input_name(main, input));
      if (argument.op < 0 && (asked.empty() || asked == known.back())) argument = input;
    }
    if (argument.op < 0 && !asked.empty())
      throw Error(fmt::format("--batch {}: the graph has no such symbol and no such argument with dimensions, only {}",
                              asked, known.empty() ? "scalars" : join(known, ", ")));
    if (argument.op < 0) {
      batch_.cause = "no argument of the graph has dimensions";
      return;
    }
  }
  const Dim size = argument.op < 0 ? Dim() : main.tensor(argument).shape[0];
  if (argument.op < 0 || !size.is_number()) {
    batch_.name = argument.op < 0 ? asked : size.symbol_name();
    batch_.asked = symbols_.at(batch_.name);
    return;
  }
  batch_.name = input_name(main, argument);
  batch_.asked = size.number();
  try {
    resizer_ = std::make_unique<BatchResizer>(graph_, argument);
  } catch (const Error& error) {
    batch_.cause = error.what();
  }
}

}  // namespace placewright::tools
