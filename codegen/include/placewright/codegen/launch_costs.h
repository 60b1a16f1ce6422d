// What a device's figures say of launches, for every target model: which ops its op classes cover, and what they take.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "placewright/codegen/op_facts.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"

namespace placewright {

// What the seconds of a launch go to. Of a stage, the larger of its arithmetic and its memory traffic counts.
struct LaunchParts {
  double overhead = 0;
  double arithmetic = 0;
  double traffic = 0;
  double seconds() const { return overhead + arithmetic + traffic; }
};

// A pure function of machine, profile and graph. Measured kernels go first, then measured curves, then the device's
// rates; a launch takes its overhead and the sum of its stages, a stage the larger of its arithmetic and its traffic.
class LaunchCosts {
 public:
  // `profile` may be null and must outlive this.
  LaunchCosts(DeviceSpec spec, const Profile* profile, std::shared_ptr<OpFactsTable> facts);

  // Empty, or what is missing: "no kernel for contraction of f64".
  std::string refuses(const Graph& graph, const Function& function, const Op& op) const;
  double seconds(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const;
  double seconds(const StageWork& work) const;
  double launch_seconds() const { return launch_seconds_; }  // the overhead of a launch
  // The same seconds, parted; a measured kernel's in the proportions that are estimated.
  LaunchParts parts(const Graph& graph, const Function& function, const std::vector<int32_t>& group) const;

 private:
  double arithmetic_seconds(const StageWork& work) const;
  double traffic_seconds(double bytes) const;

  DeviceSpec spec_;
  const Profile* profile_;
  std::shared_ptr<OpFactsTable> facts_;
  double launch_seconds_;
  bool knows_kernels_ = false;
};

}  // namespace placewright
