// Plans as files (docs/plan-files.md): what was placed, written down; and files read, to be followed or checked.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "placewright/compile.h"
#include "placewright/passes/plan_file.h"
#include "placewright/run_graph.h"

namespace placewright {

std::string_view compiler_version();
std::string_view compiler_hash();  // of the sources that decide

// `captured`: the graph that was placed; `followed`: the plan file that it was placed by, or null. The proof is left
// out where a plan file decided.
PlanFile make_plan_file(const GraphPlacement& placed, const Graph& captured,
                        const std::map<std::string, int64_t>& symbols, const PlanFile* followed = nullptr);
// What a compiled function's placement is.
PlanFile make_plan_file(const Specialisation& specialisation);

// Error names the file: it is not there, not a plan, damaged or cut off.
PlanFile read_plan_file(const std::string& path);

}  // namespace placewright
