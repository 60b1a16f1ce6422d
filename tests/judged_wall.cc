#include "judged_wall.h"

#include <algorithm>
#include <chrono>

#include "placewright/calibrate.h"
#include "placewright/session.h"

namespace placewright::testing {
namespace {

const DeviceId host_id{"cpu", 0}, device_id{"slow", 0};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

template <typename Work>
double median_seconds(int rounds, Work work) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    double begin = now();
    work();
    times.push_back(now() - begin);
  }
  return median(times);
}

void slow_down(DeviceSpec& spec, double factor) {
  spec.memory_bandwidth /= factor;
  spec.launch_seconds *= factor;
  for (Rate& rate : spec.rates) rate.per_second /= factor;
}

}  // namespace

ThrottledMachine::ThrottledMachine(double host_factor, double device_factor, const Profile& measured)
    : profile_(measured) {
  DeviceSpec host = CpuDevice::probe();
  host.threads = 1;
  DeviceSpec slow = host;
  slow.id = device_id;
  slow.host_memory = false;
  slow_down(host, host_factor);
  slow_down(slow, device_factor);
  device_ = std::make_shared<ThrottledDevice>(slow, device_factor);
  devices_ = DeviceSet({std::make_shared<ThrottledHost>(host, host_factor), device_}, {});
  machine_ = devices_.machine({{host_id, device_id, 1e-5, 1e9}, {device_id, host_id, 1e-5, 1e9}});
  profile_.kernels.clear();
  profile_.links.clear();
  const std::vector<Profile::OpCost> ops = profile_.ops;
  profile_.ops.clear();
  for (auto [id, factor] : {std::pair(host_id, host_factor), {device_id, device_factor}})
    for (Profile::OpCost cost : ops) {
      cost.device = id;
      for (CostPoint& point : cost.points) point.seconds *= factor;
      profile_.ops.push_back(std::move(cost));
    }
  const double launch = measured.launch_seconds(host_id).value_or(host.launch_seconds);
  profile_.launches = {{host_id, launch * host_factor}, {device_id, launch * device_factor}};
  measure_launches();
  measure_links();
}

// What handing over work takes, on top of the kernel's own start.
void ThrottledMachine::measure_launches() {
  constexpr int many = 200;
  int stream = device_->open_stream();
  const double seconds = median_seconds(5, [&] {
    for (int i = 0; i < many; ++i) device_->copy(stream, {}, {}, 0, "nothing");
    device_->finish(device_->record(stream));
  });
  device_->close_stream(stream);
  profile_.launches.back().seconds += seconds / many;
}

void ThrottledMachine::measure_links() {
  for (bool up : {true, false}) {
    Profile::LinkCost link{up ? host_id : device_id, up ? device_id : host_id, {}};
    for (int64_t bytes : {64, 16384, 524288, 8388608}) {
      std::vector<uint8_t> on_host(static_cast<size_t>(bytes), 1);
      DeviceMemory memory(device_, bytes, 64, "measured");
      BufferView host{devices_.host().get(), on_host.data(), bytes};
      int stream = device_->open_stream();
      const double seconds = median_seconds(bytes > 1000000 ? 7 : 31, [&] {
        device_->copy(stream, up ? memory.view() : host, up ? host : memory.view(), bytes, "measured");
        device_->finish(device_->record(stream));
      });
      device_->close_stream(stream);
      link.points.push_back({static_cast<double>(bytes), seconds});
    }
    profile_.links.push_back(std::move(link));
  }
}

Profile measure_processor() {
  configure({.threads = 1, .use_cache = false, .notice = [](std::string_view) {}});
  return calibrate();
}

std::vector<MeasuredPlan> measure_plans(const Graph& graph, const ThrottledMachine& machine, int rounds) {
  GraphPlacement placed = place_graph(graph, machine.machine(), {}, false, &machine.profile());
  std::vector<MeasuredPlan> plans;
  std::vector<std::unique_ptr<CompiledStep>> steps;
  auto add = [&](const std::string& name, const GraphPlacement& one) {
    plans.push_back({name, static_cast<double>(one.plan.done) * 1e-9, 0, 0, {}});
    for (const OpPlacement& op : one.plan.ops) plans.back().ops_on_device += op.where.devices.front() == device_id;
    steps.push_back(std::make_unique<CompiledStep>(graph, one, machine.devices(), false));
    steps.back()->run();
    plans.back().result = steps.back()->result(0);
  };
  add("plan", placed);
  for (const Rival& rival : rivals(*placed.plan.solved)) {
    const PlanFile file = plan_with(placed, graph, rival.labels);
    add(rival.name, place_graph(graph, machine.machine(), {}, false, &machine.profile(), &file));
  }
  for (int round = 0; round < rounds; ++round)
    for (size_t i = 0; i < plans.size(); ++i) {
      steps[i]->run();  // the others' data has taken the caches
      const double begin = now();
      steps[i]->run();
      const double seconds = now() - begin;
      plans[i].seconds = round == 0 ? seconds : std::min(plans[i].seconds, seconds);
    }
  return plans;
}

}  // namespace placewright::testing
