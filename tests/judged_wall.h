// Plans judged by measured times: on the processor and a device that is slower by a known factor, both real.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "judged_plans.h"
#include "placewright/ir/profile.h"
#include "throttled_device.h"

namespace placewright::testing {

// A host and one accelerator, throttled; one thread each. The planner gets what was measured on the processor, times
// the factors, and what copies and launches were measured to take.
class ThrottledMachine {
 public:
  // `measured`: of one thread of this processor, by calibrate().
  ThrottledMachine(double host_factor, double device_factor, const Profile& measured);

  const Machine& machine() const { return machine_; }
  const Profile& profile() const { return profile_; }
  const DeviceSet& devices() const { return devices_; }
  const ThrottledDevice& device() const { return *device_; }

 private:
  void measure_launches();
  void measure_links();

  std::shared_ptr<ThrottledDevice> device_;
  DeviceSet devices_;
  Machine machine_;
  Profile profile_;
};

// Calibrates one thread of the processor. Takes a second and replaces the session.
Profile measure_processor();

struct MeasuredPlan {
  std::string name;
  double predicted = 0, seconds = 0;  // a step: what the planner thinks, and the least of the rounds
  int ops_on_device = 0;
  HostTensor result;  // the first one, of the first step
};
// The plan first, then its rivals. They take turns in each round, so that what disturbs one disturbs all; whatever
// disturbs makes steps longer, so that the least is the truest.
std::vector<MeasuredPlan> measure_plans(const Graph& graph, const ThrottledMachine& machine, int rounds);

}  // namespace placewright::testing
