// placewright what-if: the ranges of a batch or of a link's speed in which each placement is the best, and the borders.
#include <algorithm>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"
#include "placewright/base/duration.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/base/join.h"
#include "placing.h"
#include "three_digits.h"
#include "what_if_axes.h"

namespace placewright::tools {
namespace {

constexpr int width = 100;

class Text {
 public:
  Text(const WhatIf& answer, const Machine& machine) : answer_(answer), machine_(machine) {}

  std::string run() {
    const Axis& axis = answer_.axis;
    line(bold(fmt::format("{} {} to {}{}", axis.name, number(axis.low), number(axis.high), unit())));
    line(axis.what, 2);
    for (const std::string& sentence : pays()) line(sentence, 2);
    ranges();
    if (!answer_.borders.empty()) text_ += "\nBorders\n";
    for (const Border& border : answer_.borders) tell(border);
    text_ += "\n";
    line(how());
    return std::move(text_);
  }

 private:
  void line(const std::string& text, int indent = 0) {
    text_ += wrapped(std::string(static_cast<size_t>(indent), ' ') + text, width, indent + 2) + "\n";
  }
  std::string unit() const { return answer_.axis.unit.empty() ? "" : " " + answer_.axis.unit; }
  std::string number(int64_t index) const {
    const double number = answer_.axis.number(index);
    return answer_.axis.kind == "size" ? plain(static_cast<int64_t>(number)) : number_text(number);
  }
  static std::string plain(int64_t number) {
    const std::string text = bytes_text(number);
    return text.substr(0, text.size() - 2);
  }
  std::string at(int64_t index) const {
    return answer_.axis.kind == "size" ? fmt::format("{} {}", answer_.axis.name, number(index))
                                       : number(index) + unit();
  }

  static size_t ops_on(const PlacementRange& range, const DeviceId& device) {
    auto found = range.devices.find(device);
    return found == range.devices.end() ? 0 : found->second.ops;
  }

  // "cuda:0 pays from batch 96".
  std::vector<std::string> pays() const {
    std::vector<std::string> sentences;
    if (machine_.devices.size() < 2)
      return {fmt::format("{} is the only device: all runs there, whatever changes.",
                          machine_.devices.front().id.to_string())};
    for (const DeviceSpec& spec : machine_.devices) {
      std::string runs;  // where it does
      for (size_t i = 0; i < answer_.ranges.size(); ++i) {
        const bool here = ops_on(answer_.ranges[i], spec.id) > 0;
        const bool before = i > 0 && ops_on(answer_.ranges[i - 1], spec.id) > 0;
        if (here && !before)
          runs += fmt::format("{}from {}", runs.empty() ? "" : ", again ", at(answer_.ranges[i].from));
        if (!here && before) runs += fmt::format(" to {}", number(answer_.ranges[i - 1].to));
      }
      const std::string device = spec.id.to_string();
      const bool always = std::all_of(answer_.ranges.begin(), answer_.ranges.end(),
                                      [&](const PlacementRange& range) { return ops_on(range, spec.id) > 0; });
      if (always && spec.host_memory) continue;  // as one would think
      if (ops_on(answer_.ranges.front(), spec.id) > 0 && runs == "from " + at(answer_.axis.low))
        sentences.push_back(fmt::format("{} pays throughout.", device));
      else
        sentences.push_back(runs.empty() ? fmt::format("{} pays nowhere in this range.", device)
                                         : fmt::format("{} pays {}.", device, runs));
    }
    return sentences;
  }

  void ranges() {
    std::vector<std::vector<std::string>> rows{{answer_.axis.name + unit(), "a step takes"}};
    for (const DeviceSpec& spec : machine_.devices) rows[0].push_back(spec.id.to_string());
    for (const PlacementRange& range : answer_.ranges) {
      std::vector<std::string> row{number(range.from) + (range.to > range.from ? " to " + number(range.to) : "")};
      if (!range.fault.empty()) {
        row.push_back("no placement");
      } else {
        const std::string begin = duration_text(range.seconds_from), end = duration_text(range.seconds_to);
        row.push_back(begin == end ? begin : begin + " to " + end);
        for (const DeviceSpec& spec : machine_.devices) row.push_back(plural(ops_on(range, spec.id), "op"));
      }
      rows.push_back(std::move(row));
    }
    std::vector<size_t> widths;
    for (const std::vector<std::string>& row : rows)
      for (size_t c = 0; c < row.size(); ++c) {
        if (c == widths.size()) widths.push_back(0);
        widths[c] = std::max(widths[c], row[c].size());
      }
    text_ += "\n";
    for (const std::vector<std::string>& row : rows) {
      std::string text;
      for (size_t c = 0; c < row.size(); ++c) text += fmt::format("  {:<{}}", row[c], widths[c]);
      text.erase(text.find_last_not_of(' ') + 1);
      line(text);
    }
    for (const PlacementRange& range : answer_.ranges)
      if (!range.fault.empty()) line(fmt::format("at {}: {}", at(range.from), range.fault), 2);
  }

  void tell(const Border& border) {
    constexpr size_t most = 4;
    for (const BorderMove& move : border.moves) {
      std::string ops;
      for (size_t i = 0; i < std::min(most, move.ops.size()); ++i) ops += (i == 0 ? "" : ", ") + move.ops[i];
      if (move.ops.size() > most) ops += fmt::format(" and {} more", move.ops.size() - most);
      if (move.ops.empty())
        line(fmt::format("from {}: {} that takes no time moves from {} to {}", at(border.at), plural(move.others, "op"),
                         move.from.to_string(), move.to.to_string()),
             2);
      else
        line(fmt::format("from {}: {} pays for {} of {}: {}", at(border.at), move.to.to_string(),
                         plural(move.ops.size(), "op"), move.from.to_string(), ops),
             2);
    }
    if (border.appeared + border.gone > 0)
      line(fmt::format("by then the graph itself has {} more and {} less: what is small is computed at compile time",
                       plural(border.appeared, "op"), border.gone),
           2);
    if (border.moves.empty() && border.appeared + border.gone == 0)
      line(fmt::format("from {}: a placement exists on one side only", at(border.at)), 2);
  }

  std::string how() const {
    return fmt::format("A step: {}, its results read. {} {}.",
                       answer_.is_simulated ? "time until the last device is done, by simulation"
                                            : "sum of launch times, as fused, and of transfers",
                       answer_.is_exhaustive
                           ? "Every number in the range was planned."
                           : "Borders were found by doubling and halving: a placement that is best only between two "
                             "numbers that were planned is missed.",
                       plural(static_cast<size_t>(answer_.plans), "plan"));
  }

  const WhatIf& answer_;
  const Machine& machine_;
  std::string text_;
};

using Json = nlohmann::ordered_json;

Json to_json(const WhatIf& answer) {
  const Axis& axis = answer.axis;
  auto number = [&](int64_t index) {
    return axis.kind == "size" ? Json(static_cast<int64_t>(axis.number(index))) : Json(axis.number(index));
  };
  Json document{{"kind", axis.kind},
                {"name", axis.name},
                {"unit", axis.unit},
                {"low", number(axis.low)},
                {"high", number(axis.high)},
                {"exhaustive", answer.is_exhaustive},
                {"objective", answer.is_simulated ? "simulated time" : "sum of times"},
                {"ranges", Json::array()},
                {"borders", Json::array()}};
  for (const PlacementRange& range : answer.ranges) {
    Json row{{"from", number(range.from)},
             {"to", number(range.to)},
             {"fault", range.fault.empty() ? Json() : Json(range.fault)},
             {"seconds_from", range.seconds_from},
             {"seconds_to", range.seconds_to},
             {"ops", Json::object()}};
    for (const auto& [device, counted] : range.devices) row["ops"][device.to_string()] = counted.ops;
    document["ranges"].push_back(std::move(row));
  }
  for (const Border& border : answer.borders) {
    Json row{
        {"from", number(border.at)}, {"moves", Json::array()}, {"appeared", border.appeared}, {"gone", border.gone}};
    for (const BorderMove& move : border.moves)
      row["moves"].push_back(
          {{"from", move.from.to_string()}, {"to", move.to.to_string()}, {"ops", move.ops}, {"others", move.others}});
    document["borders"].push_back(std::move(row));
  }
  return document;
}

// What is varied needs a number for the plan that all starts from.
std::map<std::string, int64_t> with_lowest(const WhatIfOptions& options, const Graph& graph) {
  std::map<std::string, int64_t> symbols = parse_symbols(options.symbols);
  auto set = [&](const std::string& name, const std::string& range) {
    if (!name.empty() && !symbols.contains(name)) symbols[name] = std::max<int64_t>(1, std::atoll(range.c_str()));
  };
  if (!options.batch.empty()) set(batch_symbol(graph), options.batch);
  for (const std::string& vary : options.vary)
    if (const size_t equals = vary.find('='); equals != std::string::npos)
      set(vary.substr(0, equals), vary.substr(equals + 1));
  return symbols;
}

}  // namespace

std::string what_if_text(const WhatIf& answer, const Machine& machine) { return Text(answer, machine).run(); }

int what_if(const WhatIfOptions& options) {
  auto graph = std::make_shared<const Graph>(read_model({options.file, options.rules}));
  VariedGraph varied{graph, with_lowest(options, *graph), nullptr};
  if (!options.batch.empty()) batch_axis(options.batch, varied);  // what is wrong with a range is said before planning
  for (const std::string& vary : options.vary) size_axis("--vary", vary, varied);
  varied.placed = std::make_shared<const GraphPlacement>(place_as_asked(
      {options.devices, options.machine, options.profile, false, options.memory}, *graph, varied.symbols));
  std::vector<Axis> axes;
  if (!options.batch.empty()) axes.push_back(batch_axis(options.batch, varied));
  for (const std::string& vary : options.vary) axes.push_back(size_axis("--vary", vary, varied));
  for (const std::string& link : options.links) axes.push_back(link_axis(link, varied));
  Json document{
      {"format", "placewright what-if"}, {"version", 1},
      {"model", options.file},           {"machine", options.machine.empty() ? Json() : Json(options.machine)},
      {"symbols", varied.symbols},       {"axes", Json::array()}};
  std::string text =
      bold(fmt::format("{} on {}", options.file, options.machine.empty() ? "this machine" : options.machine)) + "\n";
  if (axes.size() > 1 && !varied.symbols.empty()) {
    std::vector<std::string> sizes;
    for (const auto& [name, size] : varied.symbols) sizes.push_back(fmt::format("{}={}", name, size));
    text +=
        fmt::format("Each figure is varied alone, with {} else (--symbol says other numbers).\n", join(sizes, ", "));
  }
  for (const Axis& axis : axes) {
    const WhatIf answer = find_ranges(axis);
    document["axes"].push_back(to_json(answer));
    text += "\n" + what_if_text(answer, varied.placed->machine);
  }
  fmt::print("{}", options.format == "json" ? json_text(document) + "\n" : text);
  return success;
}

}  // namespace placewright::tools
