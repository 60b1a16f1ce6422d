// What `place` does with plan files and problem files, beside its report.
#pragma once

#include <optional>
#include <string>

#include "drift_report.h"
#include "placewright/plan_files.h"

namespace placewright::tools {

// The file that is followed or checked, read; nothing if neither is asked for.
std::optional<PlanFile> read_given_plan(const PlanActions& actions);
// What placement has to follow of it.
std::optional<PlanFile> plan_to_follow(const PlanActions& actions, const std::optional<PlanFile>& given);

// Error if the file is another model's: of another name, and with few ops that `made` has, too.
void require_model_of(const PlanFile& given, const PlanFile& made);
// --check: prints the drift, accepts it if asked to, and gives the exit code.
int check_plan(const PlanActions& actions, const PlanFile& given, const PlanFile& made, const GraphPlacement& placed,
               const std::string& model);

// Texts of files, to be written when nothing can fail any more.
std::string problem_json(const GraphPlacement& placed, const PlanFile& made);
// The score of somebody else's placement of the same problem. Error if it is another problem's, or cannot run.
std::string score_text(const std::string& path, const GraphPlacement& placed, const PlanFile& made, bool as_json);

}  // namespace placewright::tools
