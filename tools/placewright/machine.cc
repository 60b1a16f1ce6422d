// placewright machine: this machine as placement sees it, as a file; measured, if asked.
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/calibrate.h"
#include "placewright/ir/kernel.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Machine& machine) {
  Json document{{"devices", Json::array()}, {"links", Json::array()}, {"absent", Json::array()}};
  for (const DeviceSpec& device : machine.devices) {
    Json row{{"device", device.id.to_string()},
             {"name", device.name},
             {"target", device.target},
             {"host_memory", device.host_memory},
             {"memory_bytes", device.memory_bytes},
             {"bytes_per_second", device.memory_bandwidth},
             {"threads", device.threads},
             {"launch_seconds", device.launch_seconds},
             {"rates", Json::array()}};
    for (const Rate& rate : device.rates) {
      Json of{{"op_class", rate.op_class}, {"dtype", name(rate.dtype)}};
      if (rate.precision != Precision::f32) of["precision"] = name(rate.precision);
      of["per_second"] = rate.per_second;
      row["rates"].push_back(std::move(of));
    }
    document["devices"].push_back(std::move(row));
  }
  for (const Link& link : machine.links)
    document["links"].push_back({{"from", link.from.to_string()},
                                 {"to", link.to.to_string()},
                                 {"latency_seconds", link.latency_seconds},
                                 {"bytes_per_second", link.bytes_per_second}});
  for (const AbsentDevice& absent : machine.absent)
    document["absent"].push_back(
        {{"kind", absent.kind}, {"code", absent.code}, {"cause", absent.cause}, {"fix", absent.fix}});
  return document;
}

}  // namespace

int show_machine(const MachineOptions& options) {
  if (options.list) {
    for (const std::string& name : shipped_machines()) fmt::print("{}\n", name);
    return success;
  }
  Machine shown;
  if (!options.shipped.empty()) {
    shown = read_machine(options.shipped);
  } else {
    configure(SessionOptions{.devices = options.devices, .threads = options.threads, .use_cache = options.calibrate});
    shown = machine();
    if (options.calibrate) {
      Profile profile = calibrate();
      if (!options.model.empty())
        profile_kernels(profile, parse_graph(read_text_file(options.model), options.model),
                        parse_symbols(options.symbols));
      keep_calibration(shown, profile);
      shown = apply_profile(shown, profile);
      if (!options.profile.empty()) write_file_atomically(options.profile, print_profile(profile));
    }
  }
  std::string text = options.json ? json_text(to_json(shown)) + "\n" : print_machine(shown);
  if (options.output.empty())
    fmt::print("{}", text);
  else
    write_file_atomically(options.output, text);
  return success;
}

}  // namespace placewright::tools
