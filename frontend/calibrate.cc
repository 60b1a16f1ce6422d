#include "placewright/calibrate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include <fmt/core.h>

#include "calibration_cases.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/emitter.h"
#include "placewright/codegen/machine_target_model.h"
#include "placewright/runtime/byte_cache.h"
#include "placewright/runtime/device.h"
#include "session_body.h"

namespace placewright {
namespace {

constexpr double round_seconds = 60e-6;  // what one clock reading more may not spoil
constexpr double case_seconds = 8e-3;    // that a case may take beyond its first rounds
constexpr int fewest_rounds = 3, most_rounds = 12;
constexpr double least_seconds = 1e-9;
constexpr double fast_seconds = 50e-6;                 // a size of that or less, and large ones are measured, too
constexpr double slow_seconds = 10e-3;                 // a size of more, and what is larger is not
constexpr int64_t launches_between = 8;                // until a value of a step is touched again, as a rule
constexpr int64_t bytes_of_turns = int64_t{48} << 20;  // more are in no cache anyway

// Kernels that are compiled at once, for each target at most once: with the first case of theirs that is measured.
struct Group {
  std::vector<CalibrationCase> cases;
  std::vector<StructuredKernel> kernels;  // the forms of all cases, in their order
  std::map<const CodeTarget*, EmittedKernels> emitted;
};

std::string name_of(size_t kernel) { return "calibration" + std::to_string(kernel); }

EmittedKernels compile(std::vector<StructuredKernel> kernels, const CodeTarget& target,
                       const CompileProgramOptions& options) {
  for (size_t i = 0; i < kernels.size(); ++i) {
    target.split_reductions(kernels[i]);
    kernels[i].name = name_of(i);
  }
  return target.emit(std::move(kernels), options.threads, options.store);
}

// Numbers near 1; of integers, every position of a buffer once, in an order that no prefetcher follows.
HostTensor contents(const KernelBuffer& buffer) {
  HostTensor tensor(buffer.dtype, buffer.sizes);
  int64_t count = tensor.elements();
  if (buffer.dtype == DType::f32) {
    std::ranges::fill(tensor.data<float>(), 0.999f);
  } else {
    for (int64_t i = 0; i < count; ++i)
      if (is_floating(buffer.dtype))
        tensor.set_number(i, 0.999);
      else
        tensor.set_integer(i, i * 7919 % count);
  }
  return tensor;
}

class DeviceMeter {
 public:
  DeviceMeter(const std::shared_ptr<Device>& device, const std::shared_ptr<Device>& host)
      : device_(device), host_(host), stream_(device->open_stream()) {}
  ~DeviceMeter() { device_->close_stream(stream_); }
  DeviceMeter(const DeviceMeter&) = delete;

  // Seconds of one launch of an entry of the image: the smallest of several rounds. Launches take turns on several sets
  // of operands: in a step, too, others ran since a value was last touched, and small values are still in a cache then
  // and large ones are not.
  double kernel_seconds(const LoadedImage& image, const std::string& name, const StructuredKernel& kernel) {
    const int entry = image.entry_index(name);
    std::vector<HostTensor> values;
    int64_t set_bytes = 0;
    for (const KernelBuffer& buffer : kernel.buffers) {
      if (buffer.role == KernelBuffer::Role::local) continue;
      values.push_back(contents(buffer));
      set_bytes += values.back().bytes();
    }
    const auto& workspaces = image.entries()[static_cast<size_t>(entry)].workspace_bytes;
    const int64_t turns = std::clamp<int64_t>(bytes_of_turns / std::max<int64_t>(set_bytes, 1), 1, launches_between);
    std::vector<Operands> sets(static_cast<size_t>(turns));
    for (Operands& set : sets) {
      for (HostTensor& value : values) {
        set.add(DeviceMemory(device_, value.bytes(), 64, "calibration"));
        copy_now(set.memory.back().view(), {host_.get(), value.raw(), value.bytes()}, value.bytes(), "calibration");
      }
      for (int64_t bytes : workspaces) set.add(DeviceMemory(device_, bytes, 64, "calibration"));
    }
    uint64_t status = 0;
    size_t turn = 0;
    const KernelCost cost = count_cost(kernel);
    KernelLaunch launch{&image,  entry,   nullptr,    nullptr,    static_cast<int>(sets[0].addresses.size()),
                        nullptr, &status, cost.flops, cost.bytes, "calibration"};
    return smallest([&] {
      const Operands& set = sets[turn];
      turn = turn + 1 == sets.size() ? 0 : turn + 1;
      launch.buffers = set.addresses.data();
      launch.buffer_bytes = set.bytes.data();
      device_->launch(stream_, launch);
    });
  }

  double copy_seconds(const std::shared_ptr<Device>& from, const std::shared_ptr<Device>& to, int64_t bytes) {
    DeviceMemory source(from, bytes, 64, "calibration"), destination(to, bytes, 64, "calibration");
    return smallest([&] { device_->copy(stream_, destination.view(), source.view(), bytes, "calibration"); });
  }

 private:
  struct Operands {
    void add(DeviceMemory part) {
      addresses.push_back(part.address());
      bytes.push_back(part.bytes());
      memory.push_back(std::move(part));
    }
    std::vector<DeviceMemory> memory;
    std::vector<void*> addresses;
    std::vector<int64_t> bytes;
  };

  template <typename Work>
  double timed(const Work& work, int times) {
    double begin = device_->finish(device_->record(stream_));
    for (int i = 0; i < times; ++i) work();
    return (device_->finish(device_->record(stream_)) - begin) / times;
  }

  template <typename Work>
  double smallest(const Work& work) {
    double best = timed(work, 1), spent = best;  // the first one meets cold caches
    if (best > slow_seconds) return best;        // and is none the slower for it
    int times = std::clamp(static_cast<int>(round_seconds / std::max(best, least_seconds)), 1, 1000);
    for (int round = 0; round < most_rounds && (round < fewest_rounds || spent < case_seconds); ++round) {
      double seconds = timed(work, times);
      spent += seconds * times;
      best = round == 0 ? seconds : std::min(best, seconds);
    }
    return std::max(best, least_seconds);
  }

  std::shared_ptr<Device> device_, host_;
  int stream_;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Three digits: a clock knows no more, and people read the files.
double rounded(double value) {
  if (value <= 0) return value;
  double unit = std::pow(10, std::floor(std::log10(value)) - 2);
  return unit < 1 ? std::round(value / unit) / std::round(1 / unit) : std::round(value / unit) * unit;
}

// Longer kernels take longer, whatever the clock said.
void straighten(std::vector<CostPoint>& points) {
  std::sort(points.begin(), points.end(), [](const CostPoint& a, const CostPoint& b) { return a.size < b.size; });
  for (CostPoint& point : points) point.seconds = rounded(point.seconds);
  for (size_t i = points.size() - 1; i-- > 0;) points[i].seconds = std::min(points[i].seconds, points[i + 1].seconds);
}

class Calibration {
 public:
  explicit Calibration(Session& session)
      : session_(session), machine_(session.machine()), options_(session.compile_options()) {}

  Profile run() {
    for (CalibrationCase& each : calibration_cases(rounded_precisions())) {
      Group& group = each.is_large ? large_ : usual_;
      group.kernels.insert(group.kernels.end(), each.forms.begin(), each.forms.end());
      group.cases.push_back(std::move(each));
    }
    smallest_.kernels = {smallest_kernel()};
    profile_.machine = session_.devices().host()->spec().name;
    for (const DeviceSpec& spec : machine_.devices)
      if (!copy_measured(spec)) measure(spec);
    for (const Link& link : machine_.links)
      if (!copy_measured(link)) measure(link);
    profile_.call_seconds = rounded(measure_call());
    return std::move(profile_);
  }

 private:
  // What a step takes beside its launches: of the smallest training step, with arguments, a state and a result.
  double measure_call() const {
    struct Scale final : nn::Module {
      Tensor weight = parameter("weight", HostTensor::from<float>({1}, {1}));
      Tensor forward(const Tensor& x) override { return x * weight; }
      std::string description() const override { return "Scale"; }
    } model;
    optim::SGD optimizer(model.named_parameters(), {.lr = 1e-3});
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    Tensor x(HostTensor::from<float>({1}, {1})), y(HostTensor::from<float>({1}, {1}));
    double best = 1;
    for (int round = 0; round < most_rounds; ++round) {
      constexpr int calls = 1000;
      const double begin = now();
      for (int i = 0; i < calls; ++i) step(x, y);
      best = std::min(best, (now() - begin) / calls);
    }
    return std::max(best - predict_step(step.last(), machine_, &profile_).launch_seconds, least_seconds);
  }

  // To what some device rounds the factors of products.
  std::vector<Precision> rounded_precisions() const {
    std::vector<Precision> rounded;
    for (Precision precision : {Precision::tf32, Precision::bf16})
      if (std::any_of(machine_.devices.begin(), machine_.devices.end(),
                      [&](const DeviceSpec& spec) { return spec.has_rate("contraction", DType::f32, precision); }))
        rounded.push_back(precision);
    return rounded;
  }

  void measure(const DeviceSpec& spec) {
    DeviceMeter meter(session_.devices().find(spec.id), session_.devices().host());
    const double launch = kernel_seconds(spec, meter, smallest_, 0);
    profile_.launches.push_back({spec.id, rounded(launch)});
    for (Group* group : {&usual_, &large_}) measure(spec, meter, *group, launch);
    loaded_.clear();
    for (Profile::OpCost& cost : profile_.ops)
      if (cost.device == spec.id) straighten(cost.points);
  }

  void measure(const DeviceSpec& spec, DeviceMeter& meter, Group& group, double launch) {
    size_t kernel = 0;
    for (const CalibrationCase& each : group.cases) {
      const size_t first = kernel;
      kernel += each.forms.size();
      if (each.precision != Precision::f32 && !spec.has_rate(each.op_class, each.dtype, each.precision)) continue;
      std::vector<CostPoint>& points = points_of(spec.id, each);
      if (!points.empty() && points.back().seconds > (each.is_large ? fast_seconds : slow_seconds)) continue;
      double seconds = 0;
      for (size_t number = first; number < kernel; ++number)
        seconds += std::max(kernel_seconds(spec, meter, group, number) - launch, least_seconds);
      points.push_back({each.operations, seconds / static_cast<double>(each.forms.size())});
    }
  }

  double kernel_seconds(const DeviceSpec& spec, DeviceMeter& meter, Group& group, size_t number) {
    const std::shared_ptr<const CodeTarget>& target = options_.targets.at(spec.id);
    auto [emitted, is_new] = group.emitted.try_emplace(target.get());
    if (is_new) emitted->second = compile(group.kernels, *target, options_);
    const KernelImage& image = emitted->second.images[static_cast<size_t>(emitted->second.image_of[number])];
    std::shared_ptr<const LoadedImage>& loaded = loaded_[&image];
    if (!loaded) loaded = session_.devices().find(spec.id)->load(image);
    return meter.kernel_seconds(*loaded, name_of(number), group.kernels[number]);
  }

  // The curve that the case is a point of.
  std::vector<CostPoint>& points_of(const DeviceId& device, const CalibrationCase& each) {
    for (Profile::OpCost& cost : profile_.ops)
      if (cost.device == device && cost.op_class == each.op_class && cost.dtype == each.dtype &&
          cost.precision == each.precision)
        return cost.points;
    profile_.ops.push_back({device, each.op_class, each.dtype, {}, each.precision});
    return profile_.ops.back().points;
  }

  void measure(const Link& link) {
    const DeviceSet& devices = session_.devices();
    const std::shared_ptr<Device>&from = devices.find(link.from), &to = devices.find(link.to);
    DeviceMeter meter(from->is_host_memory() ? to : from, devices.host());
    Profile::LinkCost cost{link.from, link.to, {}};
    for (int64_t bytes : {int64_t{64}, int64_t{1} << 14, int64_t{1} << 19, int64_t{1} << 24})
      cost.points.push_back({static_cast<double>(bytes), meter.copy_seconds(from, to, bytes)});
    straighten(cost.points);
    profile_.links.push_back(std::move(cost));
  }

  // What a device of equal figures took.
  bool copy_measured(const DeviceSpec& spec) {
    for (const Profile::LaunchCost& known : profile_.launches) {
      DeviceSpec twin = machine_.find(known.device);
      twin.id = spec.id;
      if (twin != spec) continue;
      DeviceId measured = known.device;
      profile_.launches.push_back({spec.id, known.seconds});
      for (size_t i = 0, count = profile_.ops.size(); i < count; ++i)
        if (profile_.ops[i].device == measured) {
          Profile::OpCost cost = profile_.ops[i];
          cost.device = spec.id;
          profile_.ops.push_back(std::move(cost));
        }
      return true;
    }
    return false;
  }

  // What a link of equal figures between devices of the same kinds took.
  bool copy_measured(const Link& link) {
    for (const Profile::LinkCost& known : profile_.links) {
      Link twin = *machine_.try_link(known.from, known.to);
      if (twin.latency_seconds != link.latency_seconds || twin.bytes_per_second != link.bytes_per_second ||
          twin.from.kind != link.from.kind || twin.to.kind != link.to.kind)
        continue;
      Profile::LinkCost cost = known;
      cost.from = link.from;
      cost.to = link.to;
      profile_.links.push_back(std::move(cost));
      return true;
    }
    return false;
  }

  Session& session_;
  const Machine& machine_;
  const CompileProgramOptions options_;
  Group smallest_, usual_, large_;
  std::map<const KernelImage*, std::shared_ptr<const LoadedImage>> loaded_;  // by the device that is measured
  Profile profile_;
};

// How much of a memory a session may use says nothing about speed.
std::string calibration_key(Machine machine) {
  for (DeviceSpec& device : machine.devices) device.memory_bytes = 0;
  return fmt::format("calibration 1\n{}\n{}", code_generator_stamp(), print_machine(machine));
}

std::filesystem::path folder_of(const std::string& cache_folder) {
  return cache_folder.empty() ? default_cache_folder() : std::filesystem::path(cache_folder);
}

}  // namespace

Profile calibrate() { return Calibration(*Session::current()).run(); }

Machine apply_profile(Machine machine, const Profile& profile) {
  for (DeviceSpec& device : machine.devices) {
    device.launch_seconds = profile.launch_seconds(device.id).value_or(device.launch_seconds);
    const DeviceSpec before = device;
    for (Rate& rate : device.rates) {
      // Measured, or as much better or worse than thought as another one of the class.
      const Profile::OpCost* cost = profile.nearest(before, rate.op_class, rate.dtype, rate.precision);
      if (!cost) continue;
      const double thought = before.rate(cost->op_class, cost->dtype, cost->precision);
      const CostPoint& largest = cost->points.back();
      rate.per_second = rounded(rate.per_second * (largest.size / largest.seconds / thought));
    }
    if (double measured = device.rate("movement", DType::f32)) device.memory_bandwidth = measured;
  }
  for (Link& link : machine.links)
    for (const Profile::LinkCost& cost : profile.links) {
      if (cost.from != link.from || cost.to != link.to) continue;
      const CostPoint &first = cost.points.front(), &last = cost.points.back();
      link.latency_seconds = first.seconds;
      if (last.seconds > first.seconds)
        link.bytes_per_second = rounded((last.size - first.size) / (last.seconds - first.seconds));
    }
  return machine;
}

StepTime predict_step(const Specialisation& step, const Machine& machine, const Profile* profile) {
  PassContext context;
  std::vector<std::unique_ptr<TargetModel>> models;
  auto facts = std::make_shared<OpFactsTable>();
  for (const DeviceSpec& spec : machine.devices) {
    models.push_back(make_machine_target_model(spec, profile, facts));
    context.targets[spec.id] = models.back().get();
  }
  context.machine = &machine;
  context.profile = profile;
  return estimate_step(step.placed(), step.placement(), context);
}

std::optional<Profile> try_load_calibration(const Machine& machine, const std::string& cache_folder) {
  try {
    const std::filesystem::path folder = folder_of(cache_folder);
    if (!std::filesystem::is_directory(folder)) return std::nullopt;
    std::optional<std::vector<uint8_t>> bytes = ByteCache(folder).load(calibration_key(machine));
    if (!bytes) return std::nullopt;
    Profile profile = parse_profile({reinterpret_cast<const char*>(bytes->data()), bytes->size()}, "calibration");
    verify_profile(profile, machine, "calibration");
    return profile;
  } catch (const Error&) {  // a cache never stops a program
    return std::nullopt;
  }
}

void keep_calibration(const Machine& machine, const Profile& profile) {
  std::string text = print_profile(profile);
  ByteCache(folder_of(Session::current()->options().cache_directory))
      .store(calibration_key(machine), {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace placewright
