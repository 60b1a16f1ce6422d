// A machine of one host and two accelerators, with a target model that is simple enough to reason about: what the
// tests of passes place and fuse on. With `fuses_all` it takes any group, as a target may for a small step.
#pragma once

#include <algorithm>

#include "placewright/ir/machine.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/pass.h"

namespace placewright {

class TestTarget : public TargetModel {
 public:
  TestTarget(double launch_seconds, double bytes_per_second, bool fuses_all = false)
      : launch_seconds_(launch_seconds), bytes_per_second_(bytes_per_second), fuses_all_(fuses_all) {}

  std::string refuses(const Graph&, const Function&, const Op& op) const override {
    if (!op.entry->is_structural() && !can_lower(*op.entry)) return "no kernel for composites";
    return "";
  }
  std::unique_ptr<LaunchModel> launches(const Graph& graph, const Function& function) const override;
  double cost(const Graph&, const Function& function, const std::vector<int32_t>& group) const override {
    double bytes = 0;
    for (int32_t op : group)
      for (const Type& type : function.ops[op].results) bytes += static_cast<double>(type.tensor().bytes());
    return launch_seconds_ + bytes / bytes_per_second_;
  }

 private:
  friend class TestLaunches;
  double launch_seconds_, bytes_per_second_;
  bool fuses_all_;
};

class TestLaunches : public LaunchModel {
 public:
  TestLaunches(const TestTarget& target, const Graph& graph, const Function& function)
      : target_(target), graph_(graph), function_(function) {}
  // Elementwise ops join what they read; nothing joins behind a reduction or a contraction but elementwise ops.
  bool can_fuse(const std::vector<int32_t>& group, int32_t consumer) override {
    if (target_.fuses_all_) return true;
    const Op& op = function_.ops[consumer];
    bool reads = false;
    for (Value operand : op.operands) reads = reads || std::binary_search(group.begin(), group.end(), operand.op);
    return reads && (op.entry->realised_as<Scalar>() || op.entry->traits.view);
  }
  double cost(const std::vector<int32_t>& group) override { return target_.cost(graph_, function_, group); }

 private:
  const TestTarget& target_;
  const Graph& graph_;
  const Function& function_;
};

inline std::unique_ptr<LaunchModel> TestTarget::launches(const Graph& graph, const Function& function) const {
  return std::make_unique<TestLaunches>(*this, graph, function);
}

struct TestMachine {
  explicit TestMachine(bool fuses_all = false)
      : host(1e-6, 1e9, fuses_all), accelerator(5e-6, 1e12, fuses_all), machine(make_machine()) {
    context.targets = {{{"cpu", 0}, &host}, {{"sim", 0}, &accelerator}, {{"sim", 1}, &accelerator}};
    context.machine = &machine;
  }
  TestMachine(const TestMachine&) = delete;

  static Machine make_machine() {
    Machine machine;
    for (DeviceId id : {DeviceId{"cpu", 0}, DeviceId{"sim", 0}, DeviceId{"sim", 1}}) {
      DeviceSpec spec;
      spec.id = id;
      spec.name = spec.target = id.kind;
      spec.host_memory = id.kind == "cpu";
      machine.devices.push_back(spec);
    }
    for (const DeviceSpec& from : machine.devices)
      for (const DeviceSpec& to : machine.devices)
        if (from.id != to.id) machine.links.push_back({from.id, to.id, 10e-6, 1e10});
    return machine;
  }

  TestTarget host, accelerator;
  Machine machine;
  PassContext context;
};

}  // namespace placewright
