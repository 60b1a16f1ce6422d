// placewright run: runs a graph once on tensors from files.
#include <cctype>
#include <filesystem>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/npy.h"
#include "placewright/plan_files.h"
#include "placewright/run_graph.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

struct Options {
  std::string file, devices = "cpu", output, plan;
  std::vector<std::string> inputs;
  int threads = 0;
  bool strict = false;
};

// A state's name as a file's: names come from a file and must not lead out of the output folder.
std::string file_name(const std::string& name) {
  std::string text = name;
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  if (text.empty() || text.front() == '.') text = "_" + text;
  return text + ".npy";
}

std::map<std::string, HostTensor> read_inputs(const Options& options) {
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

int run(const Options& options) {
  Graph graph = parse_graph(read_text_file(options.file), options.file);
  configure(SessionOptions{.devices = options.devices, .threads = options.threads, .strict = options.strict});
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

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("run", "Run a graph once on tensors from .npy files");
  auto options = std::make_shared<Options>();
  command->add_option("FILE.pw", options->file, "A graph in text form")->required();
  command->add_option("--input", options->inputs, "An argument, state or constant; one for each input of the graph")
      ->allow_extra_args(false)
      ->type_name("NAME=FILE.npy");
  command->add_option("--output-dir", options->output, "Takes result0.npy, ... and the states that were updated")
      ->required()
      ->type_name("DIR");
  command->add_option("--devices", options->devices, "Kinds of devices, each with how many")->capture_default_str();
  command->add_option("--threads", options->threads, "Threads of the CPU; 0: all")->check(CLI::Range(0, 1024));
  command->add_option("--plan", options->plan, "Run each op where a plan file says")->type_name("FILE");
  command->add_flag("--strict", options->strict, "A transfer that nobody asked for is an error");
  command->footer(
      "Examples:\n  placewright run model.pw --input x=x.npy --input fc.weight=w.npy --input fc.bias=b.npy "
      "--output-dir out");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace placewright::tools
