// Graph after the passes -> Program and kernel images: lowers each launch, chooses and applies its schedule, emits the
// code, plans memory, and orders the work on streams with the waits that it needs.
#pragma once

#include <map>
#include <memory>

#include "placewright/codegen/code_target.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/program.h"

namespace placewright {

struct CompileProgramOptions {
  CpuTarget target;  // of devices that `targets` does not name: they run the host's kernels
  std::map<DeviceId, std::shared_ptr<const CodeTarget>> targets;
  CodeStore store;
  DeviceId host{"cpu", 0};  // whose memory is the host's
  EmitOptions emit;
  int threads = 1;  // that compile; what they make does not depend on their number
};

// `graph` is placed, with its transfers, and every op of main is one launch, one copy, or nothing to run. Error if an
// op cannot be run as it stands.
CompiledProgram compile_program(const Graph& graph, const CompileProgramOptions& options);

}  // namespace placewright
