// placewright fit: on which machines a step of a graph fits, what it takes there, and what would make it fit.
#include "fit.h"

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/file.h"

namespace placewright::tools {
namespace {

FitRow judge(const FitModel& model, const std::string& name) {
  FitRow row;
  row.name = name;
  row.machine = read_machine(name);
  const FitProbe probe(model, row.machine);
  const FitVersion as_it_is{model.batch().asked};
  row.plan = probe.plan(as_it_is);
  if (row.plan.fits() && row.plan.is_at_ease()) {
    row.freely = row.plan;
    return row;
  }
  row.freely = probe.plan_freely(as_it_is);
  if (row.plan.fits()) {
    row.verdict = FitVerdict::squeezed;
  } else {
    row.verdict = row.freely.is_made() ? FitVerdict::too_large : FitVerdict::refused;
    row.cause = row.plan.fault;
    row.plan = row.freely;
  }
  if (row.verdict != FitVerdict::refused) find_changes(probe, row);
  return row;
}

}  // namespace

int fit(const FitOptions& options) {
  const FitModel model(parse_graph(read_text_file(options.file), options.file), parse_symbols(options.symbols),
                       options.batch);
  FitReport report{options.file, &model, {}};
  for (const std::string& name : options.machines) read_machine(name);  // all are good before the first is judged
  for (const std::string& name : options.machines) report.rows.push_back(judge(model, name));
  fmt::print("{}", options.format == "json" ? fit_json(report) + "\n" : fit_text(report));
  if (!options.must_fit) return success;
  for (const FitRow& row : report.rows)
    if (row.verdict == FitVerdict::too_large || row.verdict == FitVerdict::refused) return finding;
  return success;
}

}  // namespace placewright::tools
