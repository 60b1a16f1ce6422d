// placewright diff: what differs between two plan files, by class, and why.
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command.h"
#include "drift_report.h"
#include "placewright/plan_files.h"

namespace placewright::tools {

void add_diff(CLI::App& app, Action& action) {
  struct Options {
    std::string before, after;
    DriftOptions drift;
  };
  auto* command = app.add_subcommand("diff", "What differs between two plans, and what caused it");
  auto options = std::make_shared<Options>();
  command->add_option("A.lock", options->before, "A plan file")->required();
  command->add_option("B.lock", options->after, "A later one")->required();
  add_drift_options(*command, options->drift);
  add_limit_options(*command, options->drift);
  command->add_option("--format", options->drift.format, "text, json, markdown or github (annotations of lines)")
      ->check(CLI::IsMember({"text", "json", "markdown", "github"}));
  command->footer(
      "Exit code 4: plans differ in a class of --fail-on, or B exceeds a limit.\n"
      "Examples:\n  placewright diff main.lock plan.lock\n  placewright diff --format markdown main.lock plan.lock");
  command->callback([options, &action] {
    action = [options] {
      DriftReport report = compare(read_plan_file(options->before), read_plan_file(options->after), options->drift);
      fmt::print("{}", print(report, options->drift));
      return report.fails ? drift : success;
    };
  });
}

}  // namespace placewright::tools
