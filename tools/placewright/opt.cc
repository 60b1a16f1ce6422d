// placewright opt: runs passes on a graph.
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command.h"
#include "placewright/base/file.h"
#include "placewright/passes/pass.h"

namespace placewright::tools {
namespace {

struct Options {
  std::string file, output;
  std::vector<std::string> passes, symbols;
  bool list = false, times = false;
};

int opt(const Options& options) {
  if (options.list) {
    for (const Pass& pass : all_passes()) fmt::print("{:<18} {}\n", pass.name, pass.summary);
    return success;
  }
  if (options.file.empty()) throw Error("opt: no FILE.pw given; 'placewright opt --help' has examples");
  PassContext context;
  context.options.symbols = parse_symbols(options.symbols);
  std::vector<PassTime> times;
  PassHooks hooks;
  hooks.times = &times;
  std::vector<const Pass*> chosen;
  for (const std::string& pass : options.passes) chosen.push_back(&find_pass(pass));

  Graph graph = parse_graph(read_text_file(options.file), options.file);
  if (chosen.empty()) graph = run_passes(std::move(graph), context, hooks);
  for (const Pass* pass : chosen) graph = run_pass(*pass, std::move(graph), context, hooks);

  if (options.output.empty()) {
    fmt::print("{}", print_graph(graph));
  } else {
    write_file_atomically(options.output, print_graph(graph));
  }
  if (options.times)
    for (const PassTime& time : times) fmt::print(stderr, "{:<18} {:>8.3f} ms\n", time.pass, time.seconds * 1e3);
  return success;
}

}  // namespace

void add_opt(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("opt", "Run passes on a graph and print what becomes of it");
  auto options = std::make_shared<Options>();
  command->add_option("FILE.pw", options->file, "A graph in text form");
  command->add_option("--pass", options->passes, "A pass to run; may be repeated. Without it the whole pipeline runs")
      ->allow_extra_args(false)
      ->type_name("NAME");
  command->add_option("--symbol", options->symbols, "The size of a symbolic dimension; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=SIZE");
  command->add_option("-o,--output", options->output, "Write the graph to a file")->type_name("FILE.pw");
  command->add_flag("--list", options->list, "List the passes");
  command->add_flag("--times", options->times, "Print how long each pass took to standard error");
  command->footer(
      "Examples:\n  placewright opt --list\n  placewright opt --pass fold_constants --pass eliminate_dead model.pw\n"
      "  placewright opt --symbol B=32 model.pw -o placed.pw");
  command->callback([options, &action] { action = [options] { return opt(*options); }; });
}

}  // namespace placewright::tools
