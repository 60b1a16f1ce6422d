// placewright place: where every op of a graph would run, why, and what would be copied.
#include <filesystem>
#include <optional>

#include <fmt/core.h>

#include "command.h"
#include "placement_report.h"
#include "placewright/base/file.h"
#include "placewright/run_graph.h"
#include "placing.h"
#include "plan_actions.h"

namespace placewright::tools {
namespace {

// What the ending of a file's name asks for.
std::string format_of(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension();
  if (ending == ".json" || ending == ".html" || ending == ".dot" || ending == ".lock") return ending.substr(1);
  return "text";
}

std::string format_of(const PlaceOptions& options) {
  return options.format.empty() ? format_of(options.output) : options.format;
}

std::string text_of(const PlacementReport& report, const PlaceOptions& options) {
  const std::string format = format_of(options);
  if (format == "json") return placement_json(report) + "\n";
  if (format == "dot") return placement_dot(report);
  if (format == "html") return placement_page(report);
  return placement_text(report, options.every_op, options.output.empty() && in_colour());
}

// Every file's text is made before the first one is written.
void write_and_print(const PlaceOptions& options, GraphPlacement placed, const PlanFile& made,
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

}  // namespace

int place(const PlaceOptions& options) {
  Graph graph = read_model({options.file, options.rules});
  std::map<std::string, int64_t> symbols = parse_symbols(options.symbols);
  std::optional<PlanFile> given = read_given_plan(options.plans), followed = plan_to_follow(options.plans, given);
  GraphPlacement placed =
      place_as_asked({options.devices, options.machine, options.profile, options.strict, options.memory}, graph,
                     symbols, followed ? &*followed : nullptr);
  PlanFile made = make_plan_file(placed, graph, symbols, followed ? &*followed : nullptr);
  made.header.model = std::filesystem::path(options.file).filename();
  if (given) require_model_of(*given, made);
  if (!options.plans.check.empty()) return check_plan(options.plans, *given, made, placed, options.file);
  if (const std::vector<Drift> exceeded = find_exceeded(made, options.plans.drift); !exceeded.empty()) {
    fmt::print(stderr, "{}", limits_text(exceeded));
    return drift;
  }
  write_and_print(options, std::move(placed), made, followed);
  return success;
}

}  // namespace placewright::tools
