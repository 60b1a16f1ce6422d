#include "costed_target_model.h"

#include <utility>

namespace placewright {

CostedTargetModel::CostedTargetModel(const DeviceSpec& spec, const Profile* profile,
                                     std::shared_ptr<OpFactsTable> facts)
    : facts_(facts ? std::move(facts) : std::make_shared<OpFactsTable>()), costs_(spec, profile, facts_) {}

std::string CostedTargetModel::refuses(const Graph& graph, const Function& function, const Op& op) const {
  return costs_.refuses(graph, function, op);
}

double CostedTargetModel::cost(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const {
  return costs_.seconds(graph, function, group);
}

}  // namespace placewright
