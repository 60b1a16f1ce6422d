#include "changed_figures.h"

#include <algorithm>

#include "placewright/base/error.h"

namespace placewright {
namespace {

// A target whose ops take `factor` times as long. What is only compared with what else the device does stays.
class ScaledTarget final : public TargetModel {
 public:
  ScaledTarget(const TargetModel& model, double factor) : model_(model), factor_(factor) {}
  std::string refuses(const Graph& graph, const Function& function, const Op& op) const override {
    return model_.refuses(graph, function, op);
  }
  std::unique_ptr<LaunchModel> launches(const Graph& graph, const Function& function) const override {
    return model_.launches(graph, function);
  }
  std::vector<OperandLayout> layouts(const Graph& graph, const Function& function, const Op& op) const override {
    return model_.layouts(graph, function, op);
  }
  double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const override {
    return factor_ * model_.cost(graph, function, group);
  }
  LaunchMemory memory(const Graph& graph, const Function& function, const Op& launch) const override {
    return model_.memory(graph, function, launch);
  }

 private:
  const TargetModel& model_;
  double factor_;
};

}  // namespace

ChangedFigures::ChangedFigures(const PassContext& context, const MachineFigures& figures)
    : machine_(figures.machine), context_(context) {
  PW_CHECK(context.machine, "figures of no machine");
  if (context.profile) {
    profile_ = *context.profile;
    for (Profile::LinkCost& measured : profile_->links) {
      const Link *before = context.machine->try_link(measured.from, measured.to),
                 *now = machine_.try_link(measured.from, measured.to);
      if (!before || !now) continue;
      const double factor = before->bytes_per_second / now->bytes_per_second;
      if (factor == 1) continue;
      for (CostPoint& point : measured.points) {
        const double latency = std::min(before->latency_seconds, point.seconds);
        point.seconds = latency + (point.seconds - latency) * factor;
      }
    }
    context_.profile = &*profile_;
  }
  context_.machine = &machine_;
  for (const auto& [device, factor] : figures.durations)
    if (auto at = context_.targets.find(device); at != context_.targets.end() && factor != 1) {
      models_.push_back(std::make_unique<ScaledTarget>(*at->second, factor));
      at->second = models_.back().get();
    }
}

}  // namespace placewright
