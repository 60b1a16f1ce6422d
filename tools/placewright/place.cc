// placewright place: where every op of a graph would run, why, and what would be copied.
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command.h"
#include "placement_report.h"
#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

struct Options {
  std::string file, devices = "cpu", machine;
  std::vector<std::string> symbols;
  std::string format, output;
  bool every_op = false, strict = false;
};

// What the ending of a file's name asks for.
std::string format_of(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension();
  if (ending == ".json" || ending == ".html" || ending == ".dot") return ending.substr(1);
  return "text";
}

std::string text_of(const PlacementReport& report, const Options& options) {
  const std::string format = options.format.empty() ? format_of(options.output) : options.format;
  if (format == "json") return placement_json(report) + "\n";
  if (format == "dot") return placement_dot(report);
  if (format == "html") return placement_page(report);
  return placement_text(report, options.every_op, options.output.empty() && in_colour());
}

int place(const Options& options) {
  Graph graph = parse_graph(read_text_file(options.file), options.file);
  std::map<std::string, int64_t> symbols = parse_symbols(options.symbols);
  GraphPlacement placed;
  if (options.machine.empty()) {
    configure(SessionOptions{.devices = options.devices, .strict = options.strict, .use_cache = false});
    placed = place_graph(graph, symbols);
  } else {
    Machine machine = parse_machine(read_text_file(options.machine), options.machine);
    placed = place_graph(graph, machine, symbols, options.strict);
  }
  PlacementReport report = make_placement_report(std::move(placed), options.file, options.machine);
  std::string text = text_of(report, options);
  if (options.output.empty())
    fmt::print("{}", text);
  else
    write_file_atomically(options.output, text);
  return success;
}

}  // namespace

void add_place(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("place", "Where every op would run, why, and what would be copied");
  auto options = std::make_shared<Options>();
  command->add_option("FILE.pw", options->file, "A graph in text form")->required();
  auto* devices = command->add_option("--devices", options->devices, "Kinds of devices, each with how many");
  devices->capture_default_str();
  command->add_option("--machine", options->machine, "Plan for the machine that this file describes, wherever you are")
      ->type_name("FILE")
      ->excludes(devices);
  command->add_option("--symbol", options->symbols, "The size of a symbolic dimension; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=SIZE");
  command
      ->add_option("--format", options->format,
                   "text, json, dot (graphviz) or html (one page); else what the file's ending says, else text")
      ->check(CLI::IsMember({"text", "json", "dot", "html"}));
  command->add_flag_callback("--json", [options] { options->format = "json"; }, "The same as --format json");
  command->add_option("-o,--output", options->output, "Write the report to a file")->type_name("FILE");
  command->add_flag("--every-op", options->every_op, "In the text, an entry for each op");
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer(
      "Examples:\n  placewright place model.pw\n  placewright place --devices cpu,sim:2 --symbol B=32 model.pw\n"
      "  placewright place --devices cpu,sim --json model.pw\n  placewright place --machine laptop.machine model.pw\n"
      "  placewright place --machine laptop.machine --format html -o plan.html model.pw");
  command->callback([options, &action] { action = [options] { return place(*options); }; });
}

}  // namespace placewright::tools
