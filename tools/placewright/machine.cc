// placewright machine: this machine as placement sees it, as a file; measured, if asked.
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/calibrate.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string devices = "cpu", output, profile, shipped, model;
  std::vector<std::string> symbols;
  int threads = 0;
  bool calibrate = false, json = false, list = false;
};

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
    for (const Rate& rate : device.rates)
      row["rates"].push_back(
          {{"op_class", rate.op_class}, {"dtype", name(rate.dtype)}, {"per_second", rate.per_second}});
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

int run(const Options& options) {
  if (options.list) {
    for (const std::string& name : shipped_machines()) fmt::print("{}\n", name);
    return success;
  }
  Machine shown;
  if (!options.shipped.empty()) {
    shown = read_machine(options.shipped);
  } else {
    configure(SessionOptions{.devices = options.devices, .threads = options.threads, .use_cache = false});
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
  std::string text = options.json ? to_json(shown).dump(2) + "\n" : print_machine(shown);
  if (options.output.empty())
    fmt::print("{}", text);
  else
    write_file_atomically(options.output, text);
  return success;
}

}  // namespace

void add_machine(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("machine", "This machine, or a shipped one, as `place --machine` reads it");
  auto options = std::make_shared<Options>();
  auto* shipped =
      command->add_option("NAME|FILE", options->shipped, "Another machine than this one: checked and printed");
  command->add_option("-o,--output", options->output, "A file instead of standard output")->type_name("FILE");
  auto* calibrate =
      command->add_flag("--calibrate", options->calibrate,
                        "Measure it, in one or two seconds; later plans on this machine use what was measured");
  calibrate->excludes(shipped);
  command->add_option("--profile", options->profile, "Also write what was measured, for `place --profile`")
      ->type_name("FILE")
      ->needs(calibrate);
  command->add_option("--model", options->model, "Also run this graph and measure its own kernels")
      ->type_name("FILE.pw")
      ->needs(calibrate);
  command->add_option("--symbol", options->symbols, "The size of a symbolic dimension of it; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=SIZE");
  command->add_option("--devices", options->devices, "Kinds of devices, each with how many")
      ->capture_default_str()
      ->excludes(shipped);
  command->add_option("--threads", options->threads, "Threads of the CPU; 0: all")
      ->check(CLI::Range(0, 1024))
      ->excludes(shipped);
  command->add_flag("--json", options->json, "Print it as JSON");
  command->add_flag("--list", options->list, "List the shipped machines");
  command->footer(
      "Examples:\n  placewright machine -o this.machine\n"
      "  placewright machine --calibrate --profile this.profile -o this.machine\n"
      "  placewright machine --calibrate --model model.pw --symbol B=32\n"
      "  placewright machine --devices cpu,sim:2 --json\n  placewright machine h200x8");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace placewright::tools
