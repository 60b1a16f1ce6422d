// What target models have in common: a device's figures say what it refuses and what a launch takes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "placewright/codegen/launch_costs.h"
#include "placewright/ir/target_model.h"

namespace placewright {

class CostedTargetModel : public TargetModel {
 public:
  // `profile` may be null and must outlive this.
  CostedTargetModel(const DeviceSpec& spec, const Profile* profile, std::shared_ptr<OpFactsTable> facts);

  std::string refuses(const Graph& graph, const Function& function, const Op& op) const override;
  double cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const override;

 protected:
  OpFactsTable& facts() const { return *facts_; }
  const LaunchCosts& costs() const { return costs_; }

 private:
  std::shared_ptr<OpFactsTable> facts_;
  LaunchCosts costs_;
};

}  // namespace placewright
