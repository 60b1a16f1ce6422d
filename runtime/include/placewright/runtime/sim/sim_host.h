// The host of a simulated machine: the CPU, but its launches and copies take their time on the machine's virtual clock.
// Programs that use it alone with SimDevices are timed exactly and alike on every machine.
#pragma once

#include <memory>

#include "placewright/runtime/cpu/cpu_device.h"
#include "placewright/runtime/sim/sim_device.h"

namespace placewright {

class SimHost : public CpuDevice {
 public:
  SimHost(DeviceSpec spec, std::shared_ptr<SimMachine> machine);

  std::shared_ptr<const LoadedImage> load(const KernelImage& image) override;
  void launch(int stream, const KernelLaunch& launch) override;
  void copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) override;
  double finish(const Event& event) override;

 private:
  std::shared_ptr<SimMachine> machine_;
};

}  // namespace placewright
