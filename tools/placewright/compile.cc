// placewright compile: what a machine would run, as files, made where that machine need not be.
#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"
#include "placement_report.h"
#include "placewright/ahead_of_time.h"
#include "placewright/base/file.h"
#include "placewright/npy.h"
#include "placing.h"

namespace placewright::tools {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string file_of(const TargetImage& made) {
  const std::string& format = made.image.format;
  const char* ending = format == "cubin" ? "cubin" : format == "ptx" ? "ptx" : "o";
  return fmt::format("{}/{}.{}", made.target, made.number, ending);
}

std::vector<KernelReport> kernel_reports(const AheadOfTime& made) {
  std::vector<KernelReport> reports;
  for (const TargetImage& each : made.images)
    for (KernelReport& report : report_kernels(made.program, each.image, each.number)) {
      report.target = each.target;
      reports.push_back(std::move(report));
    }
  return reports;
}

Json phases_json(const std::vector<KernelPhase>& phases, bool are_grids) {
  Json rows = Json::array();
  for (const KernelPhase& phase : phases) {
    Json row{{"symbol", phase.symbol}};
    if (are_grids) {
      row["groups"] = phase.groups;
      row["group_threads"] = phase.group_threads;
      row["shared_bytes"] = phase.shared_bytes;
    } else {
      row["extent"] = phase.extent;
      row["grain"] = phase.grain;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json image_json(const TargetImage& made) {
  Json entries = Json::array();
  const bool are_grids = made.image.format == "cubin" || made.image.format == "ptx";  // of no groups at all, too
  for (const KernelEntry& entry : made.image.entries) {
    Json row{{"name", entry.name},
             {"workspace_bytes", entry.workspace_bytes},
             {"phases", phases_json(entry.phases, are_grids)}};
    if (entry.contraction) row["product"] = describe(*entry.contraction);
    if (!entry.rest.empty()) row["rest"] = phases_json(entry.rest, are_grids);
    entries.push_back(std::move(row));
  }
  return {{"image", made.number},
          {"target", made.target},
          {"format", made.image.format},
          {"file", file_of(made)},
          {"entries", std::move(entries)}};
}

// The folder's table of contents: what a loader must know beside the program and the images themselves.
std::string contents_json(const AheadOfTime& made, const std::map<std::string, std::string>& constant_files) {
  Json document{{"format", "placewright kernels"}, {"version", 1},
                {"program", "program.txt"},        {"abi_version", kernel_abi_version},
                {"images", Json::array()},         {"constants", Json::object()}};
  for (const TargetImage& each : made.images) document["images"].push_back(image_json(each));
  for (const auto& [name, file] : constant_files) document["constants"][name] = file;
  return json_text(document) + "\n";
}

void make_folder(const fs::path& folder) {
  std::error_code fault;
  fs::create_directories(folder, fault);
  if (fault) throw Error(fmt::format("cannot make the folder {}: {}", folder.string(), fault.message()));
}

void write_files(const fs::path& folder, const AheadOfTime& made, const PlacementReport& report) {
  make_folder(folder);
  for (const TargetImage& each : made.images) {
    make_folder(folder / each.target);
    write_file_atomically(folder / file_of(each), std::span<const uint8_t>(each.image.bytes));
  }
  std::map<std::string, std::string> constant_files;
  for (const auto& [name, tensor] : made.constants) {
    make_folder(folder / "constants");
    const std::string file = fmt::format("constants/{}.npy", constant_files.size());
    write_npy(folder / file, tensor);
    constant_files[name] = file;
  }
  write_file_atomically(folder / "program.txt", print_program(made.program));
  write_file_atomically(folder / "placement.txt", placement_text(report, false, false));
  write_file_atomically(folder / "placement.json", placement_json(report) + "\n");
  write_file_atomically(folder / "kernels.json", contents_json(made, constant_files));
}

void print_summary(const std::string& folder, const AheadOfTime& made) {
  std::map<std::string, std::pair<size_t, int64_t>> sums;  // images and bytes
  std::vector<std::string> targets;
  for (const TargetImage& each : made.images) {
    if (sums.find(each.target) == sums.end()) targets.push_back(each.target);
    auto& [images, bytes] = sums[each.target];
    ++images;
    bytes += static_cast<int64_t>(each.image.bytes.size());
  }
  for (const std::string& target : targets)
    fmt::print("{}/{}  {}, {}\n", folder, target, plural(sums[target].first, "image"), bytes_text(sums[target].second));
  for (const char* file : {"program.txt", "kernels.json", "placement.txt", "placement.json"})
    fmt::print("{}/{}\n", folder, file);
}

}  // namespace

int compile(const CompileOptions& options) {
  const Graph graph = read_model({options.file, options.rules});
  GraphPlacement placed =
      place_as_asked({options.devices, options.machine, options.profile, options.strict, options.memory}, graph,
                     parse_symbols(options.symbols));
  const AheadOfTime made = compile_ahead_of_time(placed);
  PlacementReport report = make_placement_report(std::move(placed), options.file, options.machine);
  report.kernels = kernel_reports(made);
  write_files(options.output, made, report);
  print_summary(options.output, made);
  fmt::print("{}", kernels_text(report.kernels, in_colour()));
  return success;
}

}  // namespace placewright::tools
