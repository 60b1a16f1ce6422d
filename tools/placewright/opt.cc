// placewright opt: runs passes on a graph.
#include <memory>
#include <vector>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/file.h"
#include "placewright/passes/pass.h"

namespace placewright::tools {

int opt(const OptOptions& options) {
  if (options.list) {
    for (const Pass& pass : all_passes()) fmt::print("{:<18} {}\n", pass.name, pass.summary);
    return success;
  }
  if (options.file.empty()) throw Error("opt: no FILE.pw given; 'placewright opt --help' has examples");
  PassContext context;
  context.options.symbols = parse_symbols(options.symbols);
  std::vector<PassTime> times;
  PassHooks hooks;
  hooks.times = &times;
  std::vector<const Pass*> chosen;
  for (const std::string& pass : options.passes) chosen.push_back(&find_pass(pass));

  Graph graph = parse_graph(read_text_file(options.file), options.file);
  if (chosen.empty()) graph = run_passes(std::move(graph), context, hooks);
  for (const Pass* pass : chosen) graph = run_pass(*pass, std::move(graph), context, hooks);

  if (options.output.empty()) {
    fmt::print("{}", print_graph(graph));
  } else {
    write_file_atomically(options.output, print_graph(graph));
  }
  if (options.times)
    for (const PassTime& time : times) fmt::print(stderr, "{:<18} {:>8.3f} ms\n", time.pass, time.seconds * 1e3);
  return success;
}

}  // namespace placewright::tools
