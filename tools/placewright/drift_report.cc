#include "drift_report.h"

#include <algorithm>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr DriftClass classes[] = {DriftClass::device, DriftClass::bytes, DriftClass::peak, DriftClass::time,
                                  DriftClass::cosmetic};
constexpr size_t most_cosmetic_lines = 10;  // of formats for people

bool fails(const Drift& drift, const DriftOptions& options) {
  return std::find(options.fail_on.begin(), options.fail_on.end(), name(drift.kind)) != options.fail_on.end();
}

size_t count(const DriftReport& report, DriftClass kind) {
  return static_cast<size_t>(std::count_if(report.drifts.begin(), report.drifts.end(),
                                           [&](const Drift& drift) { return drift.kind == kind; }));
}

std::string site(const Drift& drift) { return drift.site.file.empty() ? "" : drift.site.to_string(); }

std::string summary(const DriftReport& report) {
  if (report.drifts.empty()) return "no drift";
  std::string text;
  for (DriftClass kind : classes)
    if (size_t found = count(report, kind); found > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", found, name(kind));
  return "drift: " + text;
}

// Drifts in order, cosmetic ones up to a number; what was left out.
template <typename Show>
size_t for_each_shown(const DriftReport& report, Show show) {
  size_t cosmetic = 0;
  for (const Drift& drift : report.drifts)
    if (drift.kind != DriftClass::cosmetic || ++cosmetic <= most_cosmetic_lines) show(drift);
  return cosmetic > most_cosmetic_lines ? cosmetic - most_cosmetic_lines : 0;
}

std::string line(std::string_view kind, const Drift& drift) {
  return fmt::format("{:<8} {}{}: {} -> {}: {}\n", kind, drift.what,
                     drift.site.file.empty() ? "" : " (" + site(drift) + ")", drift.was, drift.now, drift.cause);
}

std::string text_of(const DriftReport& report) {
  std::string text = fmt::format("{} against {}: {}\n", report.after, report.before, summary(report));
  text += limits_text(report.exceeded);
  size_t more = for_each_shown(report, [&](const Drift& drift) { text += line(name(drift.kind), drift); });
  if (more > 0) text += fmt::format("and {} more that are cosmetic; --format json has all\n", more);
  return text;
}

Json json_of(const Drift& drift, std::string_view kind) {
  return {{"class", kind},    {"what", drift.what}, {"site", drift.site.file.empty() ? Json() : Json(site(drift))},
          {"was", drift.was}, {"now", drift.now},   {"cause", drift.cause}};
}

std::string json_of(const DriftReport& report) {
  Json document{
      {"before", report.before}, {"after", report.after}, {"fails", report.fails}, {"counts", Json::object()}};
  for (DriftClass kind : classes) document["counts"][std::string(name(kind))] = count(report, kind);
  document["limits"] = Json::array();
  for (const Drift& drift : report.exceeded) document["limits"].push_back(json_of(drift, "limit"));
  document["drift"] = Json::array();
  for (const Drift& drift : report.drifts) document["drift"].push_back(json_of(drift, name(drift.kind)));
  // Names come from files: what is no UTF-8 in them is replaced.
  return json_text(document) + "\n";
}

std::string cell(const std::string& text) {
  std::string safe;
  for (char c : text) {
    if (c == '|') safe += '\\';
    if (c == '<')
      safe += "&lt;";
    else
      safe += c == '\n' ? ' ' : c;
  }
  return safe;
}

std::string markdown_of(const DriftReport& report) {
  std::string text = fmt::format("**Placement {}** ({} against {}): {}\n", report.fails ? "drifted" : "holds",
                                 cell(report.after), cell(report.before), summary(report));
  if (report.drifts.empty() && report.exceeded.empty()) return text;
  text += "\n| class | what | line | was | now | cause |\n|---|---|---|---|---|---|\n";
  auto row = [&](std::string_view kind, const Drift& drift) {
    text += fmt::format("| {} | {} | {} | {} | {} | {} |\n", kind, cell(drift.what), cell(site(drift)), cell(drift.was),
                        cell(drift.now), cell(drift.cause));
  };
  for (const Drift& drift : report.exceeded) row("**limit**", drift);
  size_t more = for_each_shown(report, [&](const Drift& drift) { row(name(drift.kind), drift); });
  if (more > 0) text += fmt::format("\nand {} more that are cosmetic\n", more);
  return text;
}

// The escapes of workflow commands: messages, and within their properties commas and colons too.
std::string escaped(const std::string& text, bool property) {
  std::string safe;
  for (char c : text) {
    if (c == '%' || c == '\r' || c == '\n' || (property && (c == ',' || c == ':')))
      safe += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      safe += c;
  }
  return safe;
}

std::string github_of(const DriftReport& report, const DriftOptions& options) {
  std::string text;
  auto line = [&](std::string_view level, std::string_view kind, const Drift& drift) {
    std::string where;
    if (!drift.site.file.empty())
      where = fmt::format("file={},line={},", escaped(drift.site.file, true), drift.site.line);
    text += fmt::format("::{} {}title=placement {}::{}\n", level, where, kind,
                        escaped(fmt::format("{}: {} -> {}: {}", drift.what, drift.was, drift.now, drift.cause), false));
  };
  for (const Drift& drift : report.exceeded) line("error", "limit", drift);
  size_t more = for_each_shown(report, [&](const Drift& drift) {
    bool cosmetic = drift.kind == DriftClass::cosmetic;
    line(fails(drift, options) ? "error" : cosmetic ? "notice" : "warning", name(drift.kind), drift);
  });
  if (more > 0) text += fmt::format("::notice title=placement cosmetic::and {} more\n", more);
  return text;
}

}  // namespace

std::vector<Drift> find_exceeded(const PlanFile& plan, const DriftOptions& options) {
  std::vector<Drift> exceeded;
  if (options.max_bytes_per_step >= 0 && plan.bytes_per_step > options.max_bytes_per_step) {
    const PlanFile::Transfer* largest = nullptr;
    for (const PlanFile::Transfer& transfer : plan.transfers)
      if (!transfer.at_load && (!largest || transfer.bytes > largest->bytes)) largest = &transfer;
    Drift over{DriftClass::bytes,
               "all copies of a step",
               {},
               fmt::format("at most {} bytes", options.max_bytes_per_step),
               fmt::format("{} bytes", plan.bytes_per_step),
               ""};
    if (largest) {
      over.site = largest->site;
      over.cause = fmt::format("the largest is {}: {} bytes from {} to {}, {}", largest->key, largest->bytes,
                               largest->from.to_string(), largest->to.to_string(), largest->why);
    }
    exceeded.push_back(std::move(over));
  }
  for (const PlanFile::Peak& peak : plan.peaks)
    if (options.max_memory >= 0 && peak.bytes > options.max_memory)
      exceeded.push_back({DriftClass::peak,
                          "peak of " + peak.device.to_string(),
                          {},
                          fmt::format("at most {} bytes", options.max_memory),
                          fmt::format("{} bytes", peak.bytes),
                          "arguments, states, constants and what a step makes"});
  return exceeded;
}

std::string limits_text(const std::vector<Drift>& exceeded) {
  std::string text;
  for (const Drift& drift : exceeded) text += line("limit", drift);
  return text;
}

DriftReport compare(const PlanFile& before, const PlanFile& after, const DriftOptions& options) {
  DriftReport report{before.name, after.name, find_drift(before, after, options.tolerance),
                     find_exceeded(after, options), false};
  report.fails = !report.exceeded.empty();
  for (const Drift& drift : report.drifts) report.fails = report.fails || fails(drift, options);
  return report;
}

std::string print(const DriftReport& report, const DriftOptions& options) {
  if (options.format == "json") return json_of(report);
  if (options.format == "markdown") return markdown_of(report);
  if (options.format == "github") return github_of(report, options);
  return text_of(report);
}

}  // namespace placewright::tools
