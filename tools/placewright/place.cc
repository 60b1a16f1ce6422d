// placewright place: where every op of a graph would run, why, and what would be copied.
#include <memory>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const SourceSite& site) { return site.file.empty() ? Json() : Json(site.to_string()); }

Json to_json(const PlacementPlan& plan) {
  Json document{
      {"objective", plan.objective},         {"seconds", plan.seconds}, {"bytes_per_step", plan.bytes_per_step},
      {"bytes_at_load", plan.bytes_at_load}, {"ops", Json::array()},    {"transfers", Json::array()},
      {"conflicts", Json::array()}};
  for (const OpPlacement& op : plan.ops) {
    Json row{{"op", op.op}, {"what", op.what}, {"site", to_json(op.site)}};
    for (const DeviceId& device : op.where.devices) row["devices"].push_back(device.to_string());
    row["cause"] = name(op.cause);
    row["reason"] = op.reason;
    row["seconds"] = op.seconds;
    row["rejected"] = Json::array();
    for (const RejectedDevice& rejected : op.rejected)
      row["rejected"].push_back({{"device", rejected.device.to_string()}, {"cause", rejected.cause}});
    document["ops"].push_back(std::move(row));
  }
  for (const PlannedTransfer& transfer : plan.transfers)
    document["transfers"].push_back({{"what", transfer.what},
                                     {"from", transfer.from.to_string()},
                                     {"to", transfer.to.to_string()},
                                     {"bytes", transfer.bytes},
                                     {"when", transfer.at_load ? "once" : "step"},
                                     {"why", transfer.why},
                                     {"site", to_json(transfer.site)},
                                     {"seconds", transfer.seconds}});
  for (const PinConflict& conflict : plan.conflicts)
    document["conflicts"].push_back({{"from", conflict.from.to_string()},
                                     {"to", conflict.to.to_string()},
                                     {"bytes", conflict.bytes},
                                     {"when", conflict.at_load ? "once" : "step"},
                                     {"message", conflict.message}});
  return document;
}

}  // namespace

int place(const PlaceOptions& options) {
  Graph graph = parse_graph(read_text_file(options.file), options.file);
  std::map<std::string, int64_t> symbols = parse_symbols(options.symbols);
  PlacementPlan plan;
  if (options.machine.empty()) {
    configure(SessionOptions{.devices = options.devices, .strict = options.strict, .use_cache = false});
    plan = plan_graph(graph, symbols);
  } else {
    Machine machine = parse_machine(read_text_file(options.machine), options.machine);
    plan = plan_graph(graph, machine, symbols, options.strict);
  }
  fmt::print("{}", options.json ? to_json(plan).dump(2) + "\n" : print_plan(plan));
  return success;
}

}  // namespace placewright::tools
