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

// What several subcommands take, each declared once.

void add_graph(CLI::App& command, std::string& file) {
  command.add_option("FILE.pw", file, "A graph in text form")->required();
}

void add_symbols(CLI::App& command, std::vector<std::string>& symbols,
                 const char* what = "The size of a symbolic dimension; may be repeated") {
  command.add_option("--symbol", symbols, what)->allow_extra_args(false)->type_name("NAME=SIZE");
}

void add_rules(CLI::App& command, std::string& rules) {
  command.add_option("--rules", rules, "Pins, allowed devices and what stays together, by name")->type_name("FILE");
}

CLI::Option* add_devices(CLI::App& command, std::string& devices) {
  return command.add_option("--devices", devices, "Kinds of devices, each with how many")->capture_default_str();
}

CLI::Option* add_memory(CLI::App& command, std::vector<std::string>& memory) {
  return command
      .add_option("--memory", memory,
                  "The bytes that may be used of a device (sim:1), or of each of a kind (cpu); may be repeated")
      ->allow_extra_args(false)
      ->type_name("DEVICE=BYTES");
}

// CLI11's own checks let NaN pass, clamp what is too large, and print the limits of double in full.
CLI::Option* add_bytes(CLI::App& command, const char* name, int64_t& bytes, const char* what) {
  return command.add_option(name, bytes, what)->type_name("BYTES")->check([](const std::string& text) {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    return digits && text.size() <= 18 ? "" : fmt::format("found '{}', expected bytes: a whole number from 0", text);
  });
}

// The machine that is planned for: what is here, or another one.
template <typename Options>
void add_planned_machine(CLI::App& command, Options& options) {
  auto* devices = add_devices(command, options.devices);
  auto* machine = command
                      .add_option("--machine", options.machine,
                                  "Plan for a machine that need not be here: a shipped one, or a machine file")
                      ->type_name("NAME|FILE")
                      ->excludes(devices);
  add_memory(command, options.memory)->excludes(machine);
  command.add_option("--profile", options.profile, "What was measured on that machine, instead of estimates")
      ->type_name("FILE")
      ->needs(machine);
}

CLI::Option* add_threads(CLI::App& command, int& threads) {
  return command.add_option("--threads", threads, "Threads of the CPU; 0: all")->check(CLI::Range(0, 1024));
}

void add_inspect(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("inspect", "What is in a graph: inputs, results, updates, ops, pins");
  auto options = std::make_shared<InspectOptions>();
  add_graph(*command, options->file);
  command->add_flag("--text", options->text, "Print the graph itself, in its canonical text form");
  command->footer("Examples:\n  placewright inspect model.pw\n  placewright inspect --text model.pw > canonical.pw");
  when_chosen(command, action, options, inspect);
}

// A range that NaN, which no comparison refuses, is not in.
std::string check_tolerance(const std::string& text) {
  double tolerance = -1;
  return CLI::detail::lexical_cast(text, tolerance) && tolerance >= 0 && tolerance <= 1e6
             ? ""
             : fmt::format("found {}, expected a number from 0 to 1e+06", text);
}

void add_drift_options(CLI::App& command, DriftOptions& options) {
  command
      .add_option("--fail-on", options.fail_on,
                  "Classes of drift that fail: device, bytes, peak, time, cosmetic; or none")
      ->delimiter(',')
      ->check(CLI::IsMember({"device", "bytes", "peak", "time", "cosmetic", "none"}))
      ->type_name("CLASS,...")
      ->capture_default_str();
  command
      .add_option("--tolerance", options.tolerance, "How much predicted times may differ and not count as class time")
      ->check(CLI::Validator(check_tolerance, "FLOAT in [0 - 1e+06]"))
      ->capture_default_str();
}

void add_limit_options(CLI::App& command, DriftOptions& options) {
  add_bytes(command, "--max-bytes-per-step", options.max_bytes_per_step, "Fail if a step copies more between devices");
  add_bytes(command, "--max-memory", options.max_memory, "Fail if a device's peak is more");
}

void add_plan_actions(CLI::App& command, PlanActions& actions) {
  auto* plan = command.add_option("--plan", actions.plan, "Follow a plan file: its pins, and where the rest stands")
                   ->type_name("FILE");
  auto* check = command
                    .add_option("--check", actions.check,
                                "Plan anew, with the file's own pins, and compare: exit code 4 when it drifted")
                    ->type_name("FILE")
                    ->excludes(plan);
  command.add_flag("--accept", actions.accept, "After --check, replace the file by the new plan")->needs(check);
  command.add_option("--certificate", actions.certificate, "Write plan and proof here; -o FILE.lock has no proof then")
      ->type_name("FILE")
      ->excludes(check);
  command.add_option("--export-problem", actions.export_problem, "Write what is solved as JSON: groups, costs, values")
      ->type_name("FILE")
      ->excludes(check);
  command.add_option("--import-plan", actions.import_plan, "Score somebody else's placement of that problem")
      ->type_name("FILE")
      ->excludes(check);
  add_drift_options(command, actions.drift);
  command.get_option("--fail-on")->needs(check);
  add_limit_options(command, actions.drift);
}

void add_place(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("place", "Where every op would run, why, and what would be copied");
  auto options = std::make_shared<PlaceOptions>();
  add_graph(*command, options->file);
  add_planned_machine(*command, *options);
  add_symbols(*command, options->symbols);
  command
      ->add_option("--format", options->format,
                   "text, json, dot (graphviz), html (one page) or lock (a plan file); else what the file's ending "
                   "says, else text. After --check: text, json, markdown or github")
      ->check(CLI::IsMember({"text", "json", "dot", "html", "lock", "markdown", "github"}));
  command->add_flag_callback("--json", [options] { options->format = "json"; }, "The same as --format json");
  command->add_option("-o,--output", options->output, "Write the report to a file")->type_name("FILE");
  command->add_flag("--every-op", options->every_op, "In the text, an entry for each op");
  add_rules(*command, options->rules);
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer(
      "Examples:\n  placewright place model.pw\n  placewright place --devices cpu,sim:2 --symbol B=32 model.pw\n"
      "  placewright place --devices cpu,sim --json model.pw\n  placewright place --machine h200 model.pw\n"
      "  placewright place --machine h200 --format html -o plan.html model.pw");
  add_plan_actions(*command, options->plans);
  command->callback([options, &action] {
    const std::string& format = options->plans.drift.format = options->format;
    const bool checks = !options->plans.check.empty();
    if (checks ? format == "dot" || format == "html" || format == "lock" : format == "markdown" || format == "github")
      throw CLI::ValidationError("--format", fmt::format("{} is {} --check", format, checks ? "not for" : "for"));
    if (checks && !options->output.empty()) throw CLI::ValidationError("-o", "not with --check; see --accept");
    action = [options] { return place(*options); };
  });
}

void add_fit(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("fit", "On which machines a step fits, what it takes, what would make it fit");
  auto options = std::make_shared<FitOptions>();
  add_graph(*command, options->file);
  command->add_option("--machines", options->machines, "Shipped machines, or machine files")
      ->required()
      ->delimiter(',')
      ->type_name("NAME|FILE ...");
  add_symbols(*command, options->symbols, "The size of a symbolic dimension; without it, its bound");
  command
      ->add_option("--batch", options->batch,
                   "The symbol, or the argument whose first dimension is the batch; else the symbol named batch, or "
                   "the first argument")
      ->type_name("NAME");
  command->add_option("--format", options->format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_flag_callback("--json", [options] { options->format = "json"; }, "The same as --format json");
  command->add_flag("--must-fit", options->must_fit, "Exit code 3 unless it fits on every machine");
  command->footer(
      "Examples:\n  placewright fit model.pw --machines h200 rtx4090\n"
      "  placewright fit model.pw --machines rtx4090 --symbol B=256 --json\n"
      "  placewright fit model.pw --machines this.machine --must-fit");
  when_chosen(command, action, options, fit);
}

// The options with which `why` and its like say what is placed where.
template <typename Options>
void add_placing_options(CLI::App& command, Options& options) {
  add_planned_machine(command, options);
  add_symbols(command, options.symbols);
  add_rules(command, options.rules);
  command.add_option("--format", options.format, "text or json")->check(CLI::IsMember({"text", "json"}));
  command.add_flag_callback("--json", [&options] { options.format = "json"; }, "The same as --format json");
}

void add_why(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("why", "Why an op is where it is, and the smallest changes that would move it");
  auto options = std::make_shared<WhyOptions>();
  add_graph(*command, options->file);
  command
      ->add_option("OP", options->op,
                   "An op: as plan files name it (fc/forward#0:dot_general), by what it is (dot_general), or by its "
                   "line (train.cc:12)")
      ->required();
  add_placing_options(*command, *options);
  command->footer(
      "For each other device: what keeps the op off it, what a step would take longer with it there, and the smallest\n"
      "change that flips it: a cast, faster links, a faster device, more memory, a pin less. Each is a plan made "
      "again.\n"
      "Examples:\n  placewright why model.pw fc/forward#0:dot_general --machine h200\n"
      "  placewright why model.pw train.cc:12 --devices cpu,sim --symbol B=32 --json");
  when_chosen(command, action, options, why);
}

void add_what_if(CLI::App& app, Action& action) {
  auto* command =
      app.add_subcommand("what-if", "Along batch sizes or a link's speed, where which placement is the best");
  auto options = std::make_shared<WhatIfOptions>();
  add_graph(*command, options->file);
  command
      ->add_option("--batch", options->batch,
                   "The batch: the symbol named batch, else the first dimension of the first argument that has any")
      ->type_name("LOW:HIGH");
  command->add_option("--vary", options->vary, "Another symbol; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=LOW:HIGH");
  command->add_option("--link", options->links, "A link's speed, both ways, in GB/s; may be repeated")
      ->allow_extra_args(false)
      ->type_name("A:B=LOW:HIGH");
  add_placing_options(*command, *options);
  command->footer(
      "Each is varied alone, all else as it is.\n"
      "Examples:\n  placewright what-if model.pw --batch 1:4096 --machine h200\n"
      "  placewright what-if model.pw --vary B=1:512 --vary T=16:2048 --symbol B=32 --symbol T=128 --machine h100\n"
      "  placewright what-if model.pw --link cpu:cuda=10:900 --symbol B=32 --machine rtx4090 --json");
  command->callback([options, &action] {
    if (options->batch.empty() && options->vary.empty() && options->links.empty())
      throw CLI::ValidationError("what-if", "say what varies: --batch, --vary or --link");
    action = [options] { return what_if(*options); };
  });
}

void add_diff(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("diff", "What differs between two plans, and what caused it");
  auto options = std::make_shared<DiffOptions>();
  command->add_option("A.lock", options->before, "A plan file")->required();
  command->add_option("B.lock", options->after, "A later one")->required();
  add_drift_options(*command, options->drift);
  add_limit_options(*command, options->drift);
  command->add_option("--format", options->drift.format, "text, json, markdown or github (annotations of lines)")
      ->check(CLI::IsMember({"text", "json", "markdown", "github"}));
  command->footer(
      "Exit code 4: plans differ in a class of --fail-on, or B exceeds a limit.\n"
      "Examples:\n  placewright diff main.lock plan.lock\n  placewright diff --format markdown main.lock plan.lock");
  when_chosen(command, action, options, diff);
}

void add_compile(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("compile", "Program and kernels as files, for a machine that need not be here");
  auto options = std::make_shared<CompileOptions>();
  add_graph(*command, options->file);
  command->add_option("-o,--output", options->output, "Takes program.txt, kernels.json, the kernels and the report")
      ->required()
      ->type_name("DIR");
  add_planned_machine(*command, *options);
  add_symbols(*command, options->symbols);
  add_rules(*command, options->rules);
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer("Examples:\n  placewright compile model.pw --machine h200 --symbol B=32 -o built");
  when_chosen(command, action, options, compile);
}

void add_opt(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("opt", "Run passes on a graph and print what becomes of it");
  auto options = std::make_shared<OptOptions>();
  command->add_option("FILE.pw", options->file, "A graph in text form");
  command->add_option("--pass", options->passes, "A pass to run; may be repeated. Without it the whole pipeline runs")
      ->allow_extra_args(false)
      ->type_name("NAME");
  add_symbols(*command, options->symbols);
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
  add_graph(*command, options->file);
  command->add_option("--input", options->inputs, "An argument, state or constant; one for each input of the graph")
      ->allow_extra_args(false)
      ->type_name("NAME=FILE.npy");
  command->add_option("--output-dir", options->output, "Takes result0.npy, ... and the states that were updated")
      ->required()
      ->type_name("DIR");
  add_devices(*command, options->devices);
  add_threads(*command, options->threads);
  add_memory(*command, options->memory);
  command->add_option("--plan", options->plan, "Run each op where a plan file says")->type_name("FILE");
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer(
      "Examples:\n  placewright run model.pw --input x=x.npy --input fc.weight=w.npy --input fc.bias=b.npy "
      "--output-dir out");
  when_chosen(command, action, options, run);
}

void add_doctor(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("doctor", "Which devices there are, what is absent and why, what is at fault");
  auto options = std::make_shared<DoctorOptions>();
  command->add_option("--format", options->format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  command->add_flag_callback("--json", [options] { options->format = "json"; }, "The same as --format json");
  command->add_flag("--machine", options->machine,
                    "Print the machine as `place --machine` reads it, and check nothing");
  command->footer(
      "Exit code 3 if something is at fault.\nExamples:\n  placewright doctor\n  placewright doctor --json\n"
      "  placewright doctor --machine > this.machine");
  when_chosen(command, action, options, doctor);
}

void add_machine(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("machine", "This machine, or a shipped one, as `place --machine` reads it");
  auto options = std::make_shared<MachineOptions>();
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
  add_symbols(*command, options->symbols, "The size of a symbolic dimension of it; may be repeated");
  add_devices(*command, options->devices)->excludes(shipped);
  add_threads(*command, options->threads)->excludes(shipped);
  command->add_flag("--json", options->json, "Print it as JSON");
  command->add_flag("--list", options->list, "List the shipped machines");
  command->footer(
      "Examples:\n  placewright machine -o this.machine\n"
      "  placewright machine --calibrate --profile this.profile -o this.machine\n"
      "  placewright machine --calibrate --model model.pw --symbol B=32\n"
      "  placewright machine --devices cpu,sim:2 --json\n  placewright machine h200x8");
  when_chosen(command, action, options, show_machine);
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
  auto* devices = add_devices(*command, options->devices);
  devices->description("Kinds of devices, each with how many; programs run on the first that is not the processor");
  auto* with = command->add_flag("--peers", options->peers, "An error if the peers are not set up");
  command->add_flag("--no-peers", options->no_peers, "Ours alone")->excludes(with);
  command
      ->add_flag("--predict", options->predict,
                 "Calibrate, and hold what planning predicts against what steps take; on the processor")
      ->excludes(devices);
  command->add_option("--json", options->json, "Write the results to a file")->type_name("FILE");
  command->footer(
      "Results are compared first; exit code 3 if they differ.\nExamples:\n  placewright bench --no-peers a gemm\n"
      "  placewright bench --devices cuda a b c d e\n"
      "  placewright bench --peers --threads 1 --json results.json");
  when_chosen(command, action, options, bench);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app("Placewright: says where every operation of a model runs, why, and what is copied.", "placewright");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 a file, an input or the machine is at fault, 2 wrong command line, 3 a finding,\n"
      "4 a plan drifted, 70 a bug in Placewright. NO_COLOR switches colours off. 'placewright COMMAND --help' has "
      "examples.");
  Action action;
  add_inspect(app, action);
  add_place(app, action);
  add_fit(app, action);
  add_why(app, action);
  add_what_if(app, action);
  add_diff(app, action);
  add_compile(app, action);
  add_opt(app, action);
  add_run(app, action);
  add_doctor(app, action);
  add_machine(app, action);
  add_cache(app, action);
  add_bench(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "placewright: {} (placewright --help)\n", one_line(error.what()));
    return usage;
  }
  return action();
}

}  // namespace placewright::tools
