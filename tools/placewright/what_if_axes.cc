// What the command line varies, as axes: sizes by the names of their symbols, the batch, links.
#include "what_if_axes.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/passes/resize_batch.h"
#include "three_digits.h"

namespace placewright::tools {
namespace {

template <typename Number>
std::optional<Number> number_of(std::string_view text) {
  Number number = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// "LOW:HIGH".
template <typename Number>
std::pair<Number, Number> range_of(const std::string& option, std::string_view text, const char* example) {
  const size_t colon = text.find(':');
  std::optional<Number> low, high;
  if (colon != std::string_view::npos) {
    low = number_of<Number>(text.substr(0, colon));
    high = number_of<Number>(text.substr(colon + 1));
  }
  if (!low || !high || !(*low > 0))
    throw Error(fmt::format("{}: expected a range of numbers above 0, such as {}", option, example));
  if (!(*low <= *high) || *high > Number{1'000'000'000})
    throw Error(
        fmt::format("{}: the range from {} to {} holds nothing; expected LOW:HIGH with LOW <= HIGH <= 1000000000",
                    option, *low, *high));
  return {*low, *high};
}

std::string named(const std::string& option, const std::string& text, const char* example) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw Error(fmt::format("{} '{}': expected {}", option, text, example));
  return text.substr(0, equals);
}

// Symbols with their bounds.
std::vector<Dim> symbols_of(const Graph& graph) {
  std::vector<Dim> symbols;
  auto add = [&](const Dim& dim) {
    if (!dim.is_number() && std::find(symbols.begin(), symbols.end(), dim) == symbols.end()) symbols.push_back(dim);
  };
  for (const Op& op : graph.main().ops)
    for (const Type& type : op.results)
      for (const Dim& dim : type.tensor().shape) add(dim);
  return symbols;
}

Dim find_symbol(const Graph& graph, const std::string& option, const std::string& name) {
  std::vector<std::string> names;
  for (const Dim& symbol : symbols_of(graph)) {
    if (symbol.symbol_name() == name) return symbol;
    names.push_back(symbol.symbol_name());
  }
  throw Error(
      fmt::format("{}: the graph has no symbol {}; {}", option, name,
                  names.empty() ? "its sizes are numbers; --batch varies the batch" : "it has " + join(names, ", ")));
}

// "cpu:0:cuda:0", "cpu:cuda": a number belongs to the kind before it.
std::pair<DeviceId, DeviceId> ends_of(const std::string& option, const std::string& text) {
  std::vector<DeviceId> ends;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(':', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    if (std::optional<int> ordinal = number_of<int>(part); ordinal && !ends.empty())
      ends.back().ordinal = *ordinal;
    else
      ends.push_back({part, 0});
    begin = end + 1;
  }
  if (ends.size() != 2) throw Error(fmt::format("{} '{}': expected two devices, such as cpu:0:cuda:0", option, text));
  return {ends[0], ends[1]};
}

PlanAt planned(const std::function<PlacementForecast()>& plan) {
  try {
    return {plan(), ""};
  } catch (const Error& error) {
    return {{}, error.what()};
  }
}

}  // namespace

Axis size_axis(const std::string& option, const std::string& text, const VariedGraph& varied) {
  const std::string name = named(option, text, "NAME=LOW:HIGH, such as B=1:4096");
  const Dim symbol = find_symbol(*varied.graph, option, name);
  auto [low, high] = range_of<int64_t>(option, std::string_view(text).substr(name.size() + 1), "1:4096");
  if (high > symbol.bound())
    throw Error(fmt::format("{}: {} is at most {} in this graph, not {}", option, name, symbol.bound(), high));
  Axis axis{"size", name, "", fmt::format("{}, at most {}", name, symbol.bound()), low, high, {}, {}};
  axis.number = [](int64_t size) { return static_cast<double>(size); };
  axis.plan_at = [varied, name](int64_t size) {
    return planned([&] {
      std::map<std::string, int64_t> symbols = varied.symbols;
      symbols[name] = size;
      return varied.placed->forecast(*varied.graph, symbols);
    });
  };
  return axis;
}

std::string batch_symbol(const Graph& graph) {
  const std::optional<Dim> size = find_batch_size(graph);
  return size && !size->is_number() ? size->symbol_name() : "";
}

Axis batch_axis(const std::string& text, const VariedGraph& varied) {
  if (const std::string symbol = batch_symbol(*varied.graph); !symbol.empty()) {
    Axis axis = size_axis("--batch", symbol + "=" + text, varied);
    axis.name = "batch";
    return axis;
  }
  auto [low, high] = range_of<int64_t>("--batch", text, "1:4096");
  const Value argument = find_batch(*varied.graph);
  if (argument.op < 0) throw Error("--batch: no argument of the graph has a dimension that could be its batch");
  auto resizer = std::make_shared<BatchResizer>(*varied.graph, argument);
  Axis axis{"size",
            "batch",
            "",
            fmt::format("the batch, which is {} in this graph, the first dimension of {}", resizer->batch(),
                        input_name(varied.graph->main(), argument)),
            low,
            high,
            {},
            {}};
  axis.number = [](int64_t size) { return static_cast<double>(size); };
  axis.plan_at = [varied, resizer](int64_t size) {
    return planned([&] { return varied.placed->forecast(resizer->resized(size), varied.symbols); });
  };
  return axis;
}

Axis link_axis(const std::string& text, const VariedGraph& varied) {
  const std::string name = named("--link", text, "A:B=LOW:HIGH in GB/s, such as cpu:cuda=10:900");
  const auto [one, other] = ends_of("--link", name);
  const Machine& machine = varied.placed->machine;
  machine.find(one);  // an Error lists the devices
  machine.find(other);
  auto is_meant = [one, other](const Link& link) {
    return (link.from == one && link.to == other) || (link.from == other && link.to == one);
  };
  const auto link = std::find_if(machine.links.begin(), machine.links.end(), is_meant);
  if (link == machine.links.end())
    throw Error(fmt::format("--link: there is no link between {} and {}", one.to_string(), other.to_string()));
  auto [low, high] = range_of<double>("--link", std::string_view(text).substr(name.size() + 1), "cpu:cuda=10:900");
  Axis axis{"link",
            one.to_string() + ":" + other.to_string(),
            "GB/s",
            fmt::format("the links between {} and {}, {} GB/s now", one.to_string(), other.to_string(),
                        number_text(link->bytes_per_second / 1e9)),
            index_from(low),
            index_from(high),
            {},
            {}};
  if (three_digits(static_cast<int>(axis.high)) > high) --axis.high;
  if (axis.high < axis.low)
    throw Error(fmt::format("--link: no number of three digits lies between {} and {}", low, high));
  axis.number = [](int64_t index) { return three_digits(static_cast<int>(index)); };
  axis.plan_at = [varied, is_meant](int64_t index) {
    return planned([&] {
      Machine other_speed = varied.placed->machine;
      for (Link& link : other_speed.links)
        if (is_meant(link)) link.bytes_per_second = three_digits(static_cast<int>(index)) * 1e9;
      return PlacementForecast{varied.placed->planned,
                               varied.placed->replan_with(varied.placed->planned, {std::move(other_speed), {}})};
    });
  };
  return axis;
}

}  // namespace placewright::tools
