// placewright place: where every op of a graph would run, why, and what would be copied.
#include <filesystem>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command.h"
#include "placement_report.h"
#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"
#include "plan_actions.h"

namespace placewright::tools {
namespace {

struct Options {
  std::string file, devices = "cpu", machine, profile;
  std::vector<std::string> symbols;
  std::string format, output;
  bool every_op = false, strict = false;
  PlanActions plans;
};

// What the ending of a file's name asks for.
std::string format_of(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension();
  if (ending == ".json" || ending == ".html" || ending == ".dot" || ending == ".lock") return ending.substr(1);
  return "text";
}

std::string format_of(const Options& options) {
  return options.format.empty() ? format_of(options.output) : options.format;
}

std::string text_of(const PlacementReport& report, const Options& options) {
  const std::string format = format_of(options);
  if (format == "json") return placement_json(report) + "\n";
  if (format == "dot") return placement_dot(report);
  if (format == "html") return placement_page(report);
  return placement_text(report, options.every_op, options.output.empty() && in_colour());
}

// Where the ops would run; what the plan file `followed` says of them holds.
GraphPlacement place(const Options& options, const Graph& graph, const std::map<std::string, int64_t>& symbols,
                     const PlanFile* followed) {
  if (options.machine.empty()) {
    configure(SessionOptions{.devices = options.devices, .strict = options.strict, .use_cache = false});
    return place_graph(graph, symbols, followed);
  }
  Machine machine = read_machine(options.machine);
  std::optional<Profile> profile;
  if (!options.profile.empty()) profile = read_profile(options.profile, machine);
  return place_graph(graph, machine, symbols, options.strict, profile ? &*profile : nullptr, followed);
}

// Every file's text is made before the first one is written.
void write_and_print(const Options& options, GraphPlacement placed, const PlanFile& made,
                     const std::optional<PlanFile>& followed) {
  const PlanActions& plans = options.plans;
  std::vector<std::pair<std::string, std::string>> files;
  if (!plans.certificate.empty()) {
    if (!made.proof && placed.plan.solved)
      throw Error("--certificate: a plan file decided where ops stand, which nothing proves best; leave --plan away");
    files.emplace_back(plans.certificate, print_plan_file(made));
  }
  if (!plans.export_problem.empty()) files.emplace_back(plans.export_problem, problem_json(placed, made));
  std::string text;
  if (!plans.import_plan.empty()) {
    text = score_text(plans.import_plan, placed, made, format_of(options) == "json");
  } else if (format_of(options) == "lock") {
    text = print_plan_file(made, plans.certificate.empty());
  } else {
    text = text_of(make_placement_report(std::move(placed), options.file, options.machine), options);
  }
  std::string drifted;
  if (followed) {
    DriftReport report = compare(*followed, made, plans.drift);
    report.after = options.file;
    drifted = print(report, {});
  }
  if (!options.output.empty()) files.emplace_back(options.output, text);
  for (const auto& [path, contents] : files) write_file_atomically(path, contents);
  if (options.output.empty()) fmt::print("{}", text);
  const bool for_people = options.output.empty() && format_of(options) == "text";
  if (followed) fmt::print(for_people ? stdout : stderr, "{}", drifted);
}

int place(const Options& options) {
  Graph graph = parse_graph(read_text_file(options.file), options.file);
  std::map<std::string, int64_t> symbols = parse_symbols(options.symbols);
  std::optional<PlanFile> given = read_given_plan(options.plans), followed = plan_to_follow(options.plans, given);
  GraphPlacement placed = place(options, graph, symbols, followed ? &*followed : nullptr);
  PlanFile made = make_plan_file(placed, graph, symbols, followed ? &*followed : nullptr);
  made.header.model = std::filesystem::path(options.file).filename();
  if (!options.plans.check.empty()) return check_plan(options.plans, *given, made, placed, options.file);
  write_and_print(options, std::move(placed), made, followed);
  return success;
}

}  // namespace

void add_place(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("place", "Where every op would run, why, and what would be copied");
  auto options = std::make_shared<Options>();
  command->add_option("FILE.pw", options->file, "A graph in text form")->required();
  auto* devices = command->add_option("--devices", options->devices, "Kinds of devices, each with how many");
  devices->capture_default_str();
  auto* machine = command->add_option("--machine", options->machine,
                                      "Plan for a machine that need not be here: a shipped one, or a machine file");
  machine->type_name("NAME|FILE")->excludes(devices);
  command->add_option("--profile", options->profile, "What was measured on that machine, instead of estimates")
      ->type_name("FILE")
      ->needs(machine);
  command->add_option("--symbol", options->symbols, "The size of a symbolic dimension; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=SIZE");
  command
      ->add_option("--format", options->format,
                   "text, json, dot (graphviz), html (one page) or lock (a plan file); else what the file's ending "
                   "says, else text. After --check: text, json, markdown or github")
      ->check(CLI::IsMember({"text", "json", "dot", "html", "lock", "markdown", "github"}));
  command->add_flag_callback("--json", [options] { options->format = "json"; }, "The same as --format json");
  command->add_option("-o,--output", options->output, "Write the report to a file")->type_name("FILE");
  command->add_flag("--every-op", options->every_op, "In the text, an entry for each op");
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

}  // namespace placewright::tools
