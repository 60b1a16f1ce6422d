// placewright run: runs a graph once on tensors from files.
#include <cctype>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/npy.h"
#include "placewright/plan_files.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

// A state's name as a file's: names come from a file and must not lead out of the output folder.
std::string file_name(const std::string& name) {
  std::string text = name;
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  if (text.empty() || text.front() == '.') text = "_" + text;
  return text + ".npy";
}

std::map<std::string, HostTensor> read_inputs(const RunOptions& options) {
  std::map<std::string, HostTensor> inputs;
  for (const std::string& text : options.inputs) {
    size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      throw Error(fmt::format("--input '{}': expected NAME=FILE.npy", text));
    if (!inputs.emplace(text.substr(0, equals), read_npy(text.substr(equals + 1))).second)
      throw Error(fmt::format("--input '{}': the input is given twice", text));
  }
  return inputs;
}

}  // namespace

int run(const RunOptions& options) {
  Graph graph = parse_graph(read_text_file(options.file), options.file);
  configure(SessionOptions{.devices = options.devices,
                           .threads = options.threads,
                           .memory = parse_memory(options.memory),
                           .strict = options.strict});
  std::optional<PlanFile> plan;
  if (!options.plan.empty()) plan = read_plan_file(options.plan);
  GraphRun done = run_graph(graph, read_inputs(options), plan ? &*plan : nullptr);

  std::map<std::string, const HostTensor*> files;
  for (size_t i = 0; i < done.results.size(); ++i) files[fmt::format("result{}.npy", i)] = &done.results[i];
  for (const auto& [name, tensor] : done.states)
    if (!files.emplace(file_name(name), &tensor).second)
      throw Error(fmt::format("two outputs would be called {}", file_name(name)));
  std::error_code fault;
  std::filesystem::create_directories(options.output, fault);
  if (fault) throw Error(fmt::format("cannot make the folder {}: {}", options.output, fault.message()));
  for (const auto& [name, tensor] : files) {
    write_npy(std::filesystem::path(options.output) / name, *tensor);
    fmt::print("{}/{}  {}{}\n", options.output, name, placewright::name(tensor->dtype()), to_string(tensor->sizes()));
  }
  return success;
}

}  // namespace placewright::tools
