// The report for graphviz: a cluster a device, an ellipse an input, cut edges with their bytes.
#include <map>
#include <vector>

#include <fmt/core.h>

#include "command.h"
#include "placement_report.h"

namespace placewright::tools {
namespace {

std::string dot_string(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (c == '\n')
      quoted += "\\n";
    else
      quoted += c;
  }
  return quoted + "\"";
}

// Fill and line, for devices in turn.
constexpr std::pair<const char*, const char*> colours[] = {{"#eef1f5", "#5b6b80"}, {"#e3eefc", "#2463c5"},
                                                           {"#fdebdc", "#b85a00"}, {"#e2f4e8", "#1f7a45"},
                                                           {"#f2e8fb", "#7a3fc0"}, {"#fce6ec", "#b3264f"}};

std::string node_of(const PlacementReport& report, const OpPlacement& op) {
  std::string label = op.what;
  if (!report.modules[op.op].empty()) label = report.modules[op.op] + "\n" + label;
  if (!op.site.file.empty()) label += "\n" + op.site.to_string();
  std::string tooltip = op.where.devices.front().to_string() + ": " + op.reason;
  for (const RejectedDevice& rejected : op.rejected)
    tooltip += fmt::format("\nnot {}: {}", rejected.device.to_string(), rejected.cause);
  return fmt::format("    op{} [label={}, tooltip={}{}];\n", op.op, dot_string(label), dot_string(tooltip),
                     report.function().ops[op.op].is("input") ? ", shape=ellipse" : "");
}

}  // namespace

std::string placement_dot(const PlacementReport& report) {
  const PlacementPlan& plan = report.placed.plan;
  std::string text = fmt::format(
      "digraph placement {{\n  label={};\n  labelloc=t;\n  fontname=\"Helvetica\";\n"
      "  node [shape=box, style=filled, fillcolor=white, fontname=\"Helvetica\", fontsize=10];\n"
      "  edge [color=\"#8a94a3\", fontname=\"Helvetica\", fontsize=9, fontcolor=\"#b3264f\"];\n",
      dot_string(fmt::format("{}: a step takes {}, copies {}", report.model, duration_text(plan.seconds),
                             bytes_text(plan.bytes_per_step))));
  size_t cluster = 0;
  for (const DeviceSpec& spec : report.placed.machine.devices) {
    std::string nodes;
    for (const OpPlacement& op : plan.ops)
      if (op.where.devices.front() == spec.id) nodes += node_of(report, op);
    if (nodes.empty()) continue;
    const auto& [fill, line] = colours[cluster % std::size(colours)];
    text += fmt::format(
        "  subgraph cluster_{} {{\n    label={};\n    style=filled;\n    fillcolor=\"{}\";\n    color=\"{}\";\n{}  "
        "}}\n",
        cluster++, dot_string(spec.id.to_string() + "  " + spec.name), fill, line, nodes);
  }
  std::map<std::pair<Value, int32_t>, const CutEdge*> cut_of;  // value and reader
  for (const CutEdge& cut : report.cuts)
    for (int32_t reader : cut.readers) cut_of[{cut.value, reader}] = &cut;
  for (size_t i = 0; i < report.function().ops.size(); ++i)
    for (Value operand : report.function().ops[i].operands) {
      auto at = cut_of.find({operand, static_cast<int32_t>(i)});
      text += fmt::format("  op{} -> op{}", operand.op, i);
      if (at != cut_of.end())
        text += fmt::format(" [color=\"#b3264f\", penwidth=2, label={}]",
                            dot_string(bytes_text(at->second->bytes) + (at->second->at_load ? ", once" : "")));
      text += ";\n";
    }
  return text + "}\n";
}

}  // namespace placewright::tools
