#include "placewright/codegen/launch_costs.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/ir/op_table.h"

namespace placewright {

LaunchCosts::LaunchCosts(DeviceSpec spec, const Profile* profile, std::shared_ptr<OpFactsTable> facts)
    : spec_(std::move(spec)), profile_(profile), facts_(std::move(facts)), launch_seconds_(spec_.launch_seconds) {
  if (!profile_) return;
  launch_seconds_ = profile_->launch_seconds(spec_.id).value_or(launch_seconds_);
  knows_kernels_ = std::any_of(profile_->kernels.begin(), profile_->kernels.end(),
                               [&](const Profile::KernelCost& cost) { return cost.device == spec_.id; });
}

std::string LaunchCosts::refuses(const Graph& graph, const Function& function, const Op& op) const {
  if (op.entry->realised_as<Decompose>())
    return fmt::format("{} is a composite: {} runs its parts", op.name(), spec_.id.to_string());
  if (op.entry->traits.view || op.entry->is_structural() || op.entry->realised_as<Host>()) return "";
  std::shared_ptr<const OpFacts> facts = facts_->find(graph, function, op);
  for (const StageWork& work : facts->stages)
    for (DType dtype : work.needed)
      if (spec_.rate(work.op_class, dtype) <= 0)
        return fmt::format("no kernel for {} of {}", work.op_class, name(dtype));
  return "";
}

double LaunchCosts::seconds(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const {
  if (knows_kernels_ && group.size() == 1)
    if (auto measured = profile_->kernel_seconds(spec_.id, facts_->key(graph, function, function.ops[group[0]])))
      return *measured;
  double sum = launch_seconds_;
  for (int32_t op : group) {
    std::shared_ptr<const OpFacts> facts = facts_->find(graph, function, function.ops[op]);
    for (const StageWork& work : facts->stages) sum += seconds(work);
  }
  return sum;
}

LaunchParts LaunchCosts::parts(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const {
  LaunchParts parts{launch_seconds_, 0, 0};
  for (int32_t op : group) {
    std::shared_ptr<const OpFacts> facts = facts_->find(graph, function, function.ops[op]);
    for (const StageWork& work : facts->stages) {
      const double arithmetic = arithmetic_seconds(work), traffic = traffic_seconds(work.bytes);
      (arithmetic >= traffic ? parts.arithmetic : parts.traffic) += std::max(arithmetic, traffic);
    }
  }
  const double estimated = parts.seconds();
  const double known = knows_kernels_ ? seconds(graph, function, group) : estimated;
  const double factor = estimated > 0 ? known / estimated : 1;
  return {parts.overhead * factor, parts.arithmetic * factor, parts.traffic * factor};
}

double LaunchCosts::seconds(const StageWork& work) const {
  return std::max(arithmetic_seconds(work), traffic_seconds(work.bytes));
}

double LaunchCosts::arithmetic_seconds(const StageWork& work) const {
  const double rate = spec_.rate(work.op_class, work.dtype, work.precision);
  if (profile_) {
    if (auto measured = profile_->op_seconds(spec_.id, work.op_class, work.dtype, work.operations, work.precision))
      return *measured;
    // Another one's curve, by the ratio of the rates.
    if (rate > 0)
      if (const Profile::OpCost* near = profile_->nearest(spec_, work.op_class, work.dtype, work.precision))
        return *interpolate(near->points, work.operations) * spec_.rate(work.op_class, near->dtype, near->precision) /
               rate;
  }
  return rate > 0 ? work.operations / rate : 0;
}

double LaunchCosts::traffic_seconds(double bytes) const {
  if (profile_)
    if (auto measured = profile_->op_seconds(spec_.id, "movement", DType::f32, bytes)) return *measured;
  return spec_.memory_bandwidth > 0 ? bytes / spec_.memory_bandwidth : 0;
}

}  // namespace placewright
