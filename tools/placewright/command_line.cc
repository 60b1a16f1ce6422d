#include "command_line.h"

#include <functional>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "command.h"

// CLI11 costs seconds in each file that includes it: all subcommands are declared in this one.
namespace placewright::tools {
namespace {

// What the chosen subcommand does; set while the command line is parsed.
using Action = std::function<int()>;

template <typename Options>
void when_chosen(CLI::App* command, Action& action, std::shared_ptr<Options> options, int (*run)(const Options&)) {
  command->callback([&action, options, run] { action = [options, run] { return run(*options); }; });
}

void add_inspect(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("inspect", "What is in a graph: inputs, results, updates, ops, pins");
  auto options = std::make_shared<InspectOptions>();
  command->add_option("FILE.pw", options->file, "A graph in text form")->required();
  command->add_flag("--text", options->text, "Print the graph itself, in its canonical text form");
  command->footer("Examples:\n  placewright inspect model.pw\n  placewright inspect --text model.pw > canonical.pw");
  when_chosen(command, action, options, inspect);
}

void add_place(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("place", "Where every op would run, why, and what would be copied");
  auto options = std::make_shared<PlaceOptions>();
  command->add_option("FILE.pw", options->file, "A graph in text form")->required();
  auto* devices = command->add_option("--devices", options->devices, "Kinds of devices, each with how many");
  devices->capture_default_str();
  command->add_option("--machine", options->machine, "Plan for the machine that this file describes, wherever you are")
      ->type_name("FILE")
      ->excludes(devices);
  command->add_option("--symbol", options->symbols, "The size of a symbolic dimension; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=SIZE");
  command->add_flag("--json", options->json, "Print the plan as JSON");
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer(
      "Examples:\n  placewright place model.pw\n  placewright place --devices cpu,sim:2 --symbol B=32 model.pw\n"
      "  placewright place --devices cpu,sim --json model.pw\n  placewright place --machine laptop.machine model.pw");
  when_chosen(command, action, options, place);
}

void add_opt(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("opt", "Run passes on a graph and print what becomes of it");
  auto options = std::make_shared<OptOptions>();
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
  when_chosen(command, action, options, opt);
}

void add_run(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("run", "Run a graph once on tensors from .npy files");
  auto options = std::make_shared<RunOptions>();
  command->add_option("FILE.pw", options->file, "A graph in text form")->required();
  command->add_option("--input", options->inputs, "An argument, state or constant; one for each input of the graph")
      ->allow_extra_args(false)
      ->type_name("NAME=FILE.npy");
  command->add_option("--output-dir", options->output, "Takes result0.npy, ... and the states that were updated")
      ->required()
      ->type_name("DIR");
  command->add_option("--devices", options->devices, "Kinds of devices, each with how many")->capture_default_str();
  command->add_option("--threads", options->threads, "Threads of the CPU; 0: all")->check(CLI::Range(0, 1024));
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer(
      "Examples:\n  placewright run model.pw --input x=x.npy --input fc.weight=w.npy --input fc.bias=b.npy "
      "--output-dir out");
  when_chosen(command, action, options, run);
}

void add_doctor(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("doctor", "Which devices there are, what is absent and why, what is at fault");
  auto options = std::make_shared<DoctorOptions>();
  command->add_flag("--json", options->json, "Print the findings as JSON");
  command->add_flag("--machine", options->machine,
                    "Print the machine as `place --machine` reads it, and check nothing");
  command->footer(
      "Exit code 3 if something is at fault.\nExamples:\n  placewright doctor\n  placewright doctor --json\n"
      "  placewright doctor --machine > this.machine");
  when_chosen(command, action, options, doctor);
}

void add_cache(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("cache", "The cache of compiled kernels: list it, empty it, say where it is");
  auto options = std::make_shared<CacheOptions>();
  command->add_option("--directory", options->folder, "Another cache than $PLACEWRIGHT_CACHE or ~/.cache/placewright")
      ->type_name("DIR");
  command->require_subcommand(1);
  when_chosen(command->add_subcommand("list", "Its entries, their sizes and ages"), action, options, list_cache);
  when_chosen(command->add_subcommand("clear", "Remove all entries"), action, options, clear_cache);
  when_chosen(command->add_subcommand("path", "Print its folder"), action, options, print_cache_path);
  command->footer("Examples:\n  placewright cache list\n  placewright cache --directory /tmp/kernels clear");
}

void add_bench(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("bench", "Measure our programs, beside PyTorch's, JAX's and NumPy's");
  auto options = std::make_shared<BenchOptions>();
  command->add_option("PROGRAM", options->programs,
                      "Training steps a b c d e; gemm; conv. Without any: a b c d e gemm");
  command->add_option("--threads", options->threads, "Threads, ours and the peers'")->check(CLI::Range(1, 1024));
  command->add_option("--rounds", options->rounds, "Interleaved rounds; the median counts")->check(CLI::Range(1, 1000));
  auto* with = command->add_flag("--peers", options->peers, "An error if the peers are not set up");
  command->add_flag("--no-peers", options->no_peers, "Ours alone")->excludes(with);
  command->add_option("--json", options->json, "Write the results to a file")->type_name("FILE");
  command->footer(
      "Results are compared first; exit code 3 if they differ.\nExamples:\n  placewright bench --no-peers a gemm\n"
      "  placewright bench --peers --threads 1 --json results.json");
  when_chosen(command, action, options, bench);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app("Placewright: says where every operation of a model runs, why, and what is copied.", "placewright");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 a file, an input or the machine is at fault, 2 wrong command line, 3 a finding,\n"
      "70 a bug in Placewright. NO_COLOR switches colours off. 'placewright COMMAND --help' has examples.");
  Action action;
  add_inspect(app, action);
  add_place(app, action);
  add_opt(app, action);
  add_run(app, action);
  add_doctor(app, action);
  add_cache(app, action);
  add_bench(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "placewright: {} (placewright --help)\n", error.what());
    return usage;
  }
  return action();
}

}  // namespace placewright::tools
