#include "placewright/plan_files.h"

#include <algorithm>

#include "placewright/base/file.h"
#include "session_body.h"

namespace placewright {
namespace {

PlanFile made_by_this(PlanFile plan, const PlacementPlan& placement) {
  plan.header.compiler = compiler_version();
  plan.header.compiler_hash = compiler_hash();
  bool was_free = std::none_of(placement.ops.begin(), placement.ops.end(),
                               [](const OpPlacement& op) { return op.cause == PlacementCause::planned; });
  if (was_free) plan.proof = make_proof(placement);
  return plan;
}

}  // namespace

PlanFile make_plan_file(const GraphPlacement& placed, const Graph& captured,
                        const std::map<std::string, int64_t>& symbols, const PlanFile* followed) {
  PlanHeader header = make_plan_header(captured, placed.machine, placed.profile_hash, symbols);
  return made_by_this(make_plan_file(placed.plan, placed.compiled, std::move(header), followed), placed.plan);
}

PlanFile make_plan_file(const Specialisation& made) {
  const PassContext context = Session::current()->pass_context();
  PlanHeader header = make_plan_header(made.captured(), *context.machine, profile_hash(context.profile), {});
  return made_by_this(make_plan_file(made.placement(), made.placed(), std::move(header)), made.placement());
}

PlanFile read_plan_file(const std::string& path) { return parse_plan_file(read_text_file(path), path); }

}  // namespace placewright
