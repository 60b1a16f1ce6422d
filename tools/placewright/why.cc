// placewright why: what put an op where it is, and what would put it elsewhere.
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"
#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placing.h"
#include "why_report.h"

namespace placewright::tools {
namespace {

constexpr int width = 100;

class Text {
 public:
  explicit Text(const WhyReport& report) : report_(report) {}

  std::string run() {
    const OpPlacement& op = report_.placement();
    const std::string here = op.where.devices.front().to_string();
    line(bold(fmt::format("{} on {}", op.key, here)));
    line(fmt::format("{}{}{}", op.type, op.site.file.empty() ? "" : ", made at " + op.site.to_string(),
                     op.seconds > 0 ? fmt::format(", takes {} there", duration_text(op.seconds)) : ""),
         2);
    line(fmt::format("why: {}", op.reason), 2);
    if (report_.step_seconds > 0)
      line(fmt::format("on {}: a step takes {}, its results read ({})",
                       report_.machine.empty() ? "this machine" : report_.machine, duration_text(report_.step_seconds),
                       report_.placed->plan.objective),
           2);
    if (report_.island.size() > 1)
      line(fmt::format("its island: {} on {} that values connect, from {} to {}", plural(report_.island.size(), "op"),
                       here, key(report_.island.front()), key(report_.island.back())),
           2);
    if (report_.elsewhere.empty())
      line(report_.placed->machine.devices.size() > 1
               ? "Nothing was weighed: no costs decide where it is."
               : fmt::format("{} is the only device: there is no choice to make, and no change makes one.", here));
    for (const ElsewhereReport& row : report_.elsewhere) elsewhere(row);
    if (!report_.searched.empty()) {
      text_ += "\n";
      line(report_.searched);
    }
    return std::move(text_);
  }

 private:
  void line(const std::string& text, int indent = 0, int hanging = -1) {
    text_ += wrapped(std::string(static_cast<size_t>(indent), ' ') + text, width, hanging < 0 ? indent + 2 : hanging);
    text_ += "\n";
  }
  const std::string& key(int32_t op) const { return report_.placed->plan.ops[op].key; }

  void elsewhere(const ElsewhereReport& row) {
    std::string devices = row.devices.front().to_string();
    if (row.devices.size() > 1)
      devices += fmt::format(", and {} like it to {}", row.devices.size() - 1, row.devices.back().to_string());
    text_ += "\n";
    line(bold("not on " + devices));
    line(row.rejected.cause, 2);
    if (row.rejected.seconds != 0 && row.rejected.kind != RejectionKind::dearer)  // which says so itself
      line(fmt::format("the op alone there: a step takes {} longer", duration_text(row.rejected.seconds)), 2);
    if (row.island_seconds && report_.island.size() > 1)
      line(fmt::format("its whole island there: a step takes {} {}", duration_text(std::abs(*row.island_seconds)),
                       *row.island_seconds < 0 ? "less, if it fits" : "longer"),
           2);
    if (row.pinned_seconds)
      line(*row.pinned_seconds == 0
               ? "pinned there: a step takes as long"
               : fmt::format("pinned there: a step takes {} {}, planned anew",
                             duration_text(std::abs(*row.pinned_seconds)), *row.pinned_seconds < 0 ? "less" : "longer"),
           2);
    line("smallest change that puts it there:", 2);
    std::vector<std::pair<std::string, std::string>> answers;  // kinds, and what is true of them
    for (const FlipChange& change : row.changes) {
      std::string text = change.text;
      if (change.seconds && change.kind != "pin" && *change.seconds != 0)
        text += fmt::format("; a step then takes {} {}", duration_text(std::abs(*change.seconds)),
                            *change.seconds < 0 ? "less" : "more");
      if (!answers.empty() && answers.back().second == text)
        answers.back().first += ", " + change.kind;
      else
        answers.emplace_back(change.kind, std::move(text));
    }
    for (const auto& [kinds, text] : answers) line(fmt::format("{:<6}  {}", kinds, text), 4, 12);
  }

  const WhyReport& report_;
  std::string text_;
};

using Json = nlohmann::ordered_json;

Json to_json(const SourceSite& site) { return site.file.empty() ? Json() : Json(site.to_string()); }

}  // namespace

std::string why_text(const WhyReport& report) { return Text(report).run(); }

std::string why_json(const WhyReport& report) {
  const OpPlacement& op = report.placement();
  Json document{{"format", "placewright why"},
                {"version", 1},
                {"model", report.model},
                {"machine", report.machine.empty() ? Json() : Json(report.machine)},
                {"op", op.key},
                {"what", op.what},
                {"type", op.type},
                {"site", to_json(op.site)},
                {"device", op.where.devices.front().to_string()},
                {"cause", name(op.cause)},
                {"reason", op.reason},
                {"op_seconds", op.seconds},
                {"objective", report.placed->plan.objective},
                {"step_seconds", report.step_seconds},
                {"island", Json::array()},
                {"elsewhere", Json::array()},
                {"searched", report.searched}};
  for (int32_t member : report.island) document["island"].push_back(report.placed->plan.ops[member].key);
  for (const ElsewhereReport& row : report.elsewhere) {
    Json entry{{"devices", Json::array()},
               {"kind", name(row.rejected.kind)},
               {"cause", row.rejected.cause},
               {"site", to_json(row.rejected.site)},
               {"flip_seconds", row.rejected.seconds},
               {"island_seconds", row.island_seconds ? Json(*row.island_seconds) : Json()},
               {"pinned_seconds", row.pinned_seconds ? Json(*row.pinned_seconds) : Json()},
               {"changes", Json::array()}};
    for (const DeviceId& device : row.devices) entry["devices"].push_back(device.to_string());
    for (const FlipChange& change : row.changes)
      entry["changes"].push_back({{"kind", change.kind},
                                  {"flips", change.flips},
                                  {"text", change.text},
                                  {"object", change.object},
                                  {"now", change.now > 0 ? Json(change.now) : Json()},
                                  {"needed", change.needed > 0 ? Json(change.needed) : Json()},
                                  {"step_seconds_more", change.seconds ? Json(*change.seconds) : Json()}});
    document["elsewhere"].push_back(std::move(entry));
  }
  return json_text(document) + "\n";
}

int why(const WhyOptions& options) {
  Graph graph = read_model({options.file, options.rules});
  GraphPlacement placed = place_as_asked({options.devices, options.machine, options.profile, false, options.memory},
                                         graph, parse_symbols(options.symbols));
  WhyReport report = explain(placed, find_op(placed, options.op));
  report.model = options.file;
  report.machine = options.machine;
  fmt::print("{}", options.format == "json" ? why_json(report) : why_text(report));
  return success;
}

}  // namespace placewright::tools
