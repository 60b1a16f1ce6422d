#include "placewright/runtime/sim/sim_host.h"

#include <algorithm>

#include "placewright/base/error.h"

namespace placewright {

SimHost::SimHost(DeviceSpec spec, std::shared_ptr<SimMachine> machine)
    : CpuDevice(std::move(spec)), machine_(std::move(machine)) {}

std::shared_ptr<const LoadedImage> SimHost::load(const KernelImage& image) {
  return machine_->computes() ? CpuDevice::load(image) : SimMachine::load_names(image);
}

void SimHost::launch(int stream, const KernelLaunch& launch) {
  if (machine_->computes()) CpuDevice::launch(stream, launch);
  machine_->spend(machine_->truth().launch_seconds(spec(), launch));
}

void SimHost::copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) {
  if (machine_->computes()) CpuDevice::copy(stream, destination, source, bytes, name);
  machine_->spend(2 * static_cast<double>(bytes) / std::max(spec().memory_bandwidth, 1.0));
}

double SimHost::finish(const Event& event) {
  PW_CHECK(event.number == 0);
  return machine_->host_seconds();
}

}  // namespace placewright
