#include "placewright/runtime/cuda/cuda_device.h"

#include <algorithm>

#include <fmt/format.h>

#include "cuda_graph.h"
#include "faults.h"
#include "loaded_cuda_image.h"
#include "lt_products.h"
#include "own_kernels.h"
#include "placewright/base/checked.h"
#include "placewright/ir/kernel.h"

namespace placewright {
namespace {

constexpr int64_t natural_alignment = 256;  // of what the driver allocates

// f32 additions and f64 additions a clock of one multiprocessor, by compute capability (CUDA C++ Programming Guide,
// arithmetic throughput); and multiply-adds of factors in tf32 by its matrix units, twice as many in bf16 (NVIDIA's
// white papers and data sheets: dense peaks by clock and multiprocessors).
struct Lanes {
  int capability;
  double f32, f64, tf32;
};
constexpr Lanes lanes_table[] = {{75, 64, 2, 0},     {80, 64, 32, 512},   {86, 128, 2, 256},    {87, 128, 2, 256},
                                 {89, 128, 2, 256},  {90, 128, 64, 1024}, {100, 128, 64, 2048}, {103, 128, 2, 2048},
                                 {120, 128, 2, 256}, {121, 128, 2, 256}};

// GeForce boards sum the products of their matrix units in f32 at half the rate of others with the same capability.
double matrix_lanes(const Lanes& lanes, const std::string& board) {
  return board.find("GeForce") == std::string::npos ? lanes.tf32 : lanes.tf32 / 2;
}

Lanes lanes_of(int capability) {
  Lanes found = lanes_table[0];
  for (const Lanes& lanes : lanes_table)
    if (lanes.capability <= capability) found = lanes;
  return found;
}

// Peaks, a multiply-add as two: of plain arithmetic, and of matrix units where factors may be rounded.
void add_rates(DeviceSpec& spec, double clocks, const Lanes& lanes) {
  const double rounded = 2 * clocks * matrix_lanes(lanes, spec.name);
  for (const DTypeInfo& entry : dtype_table()) {
    if (!entry.supported) continue;
    double plain = clocks * (entry.dtype == DType::f64           ? lanes.f64
                             : entry.bits > 32                   ? lanes.f32 / 4
                             : entry.kind == DTypeKind::floating ? lanes.f32
                                                                 : lanes.f32 / 2);
    for (const char* op_class : {"contraction", "convolution"}) {
      spec.rates.push_back({op_class, entry.dtype, 2 * plain});
      if (entry.dtype != DType::f32 || rounded == 0) continue;
      spec.rates.push_back({op_class, entry.dtype, rounded, Precision::tf32});
      spec.rates.push_back({op_class, entry.dtype, 2 * rounded, Precision::bf16});
    }
    for (const char* op_class : {"elementwise", "reduction"}) spec.rates.push_back({op_class, entry.dtype, plain});
    for (const char* op_class : {"movement", "gather", "scatter"})
      spec.rates.push_back({op_class, entry.dtype, spec.memory_bandwidth});
  }
}

}  // namespace

// What the context holds is made behind the first constructor: if that fails, the destructor lets go of it all.
CudaDevice::CudaDevice(std::shared_ptr<const cuda::Driver> driver, int ordinal, int64_t limit, LibraryUse libraries)
    : CudaDevice(std::move(driver), ordinal, Retained{}) {
  spec_.memory_bytes = std::min(spec_.memory_bytes, limit);
  products_ = std::make_unique<LtProducts>(*this, std::move(libraries));
  internal_stream_ = open_stream();
  std::lock_guard lock(mutex_);
  restart_clock();
}

CudaDevice::CudaDevice(std::shared_ptr<const cuda::Driver> driver, int ordinal, Retained) : driver_(std::move(driver)) {
  spec_.id = {"cuda", ordinal};
  auto require = [&](cuda::Result result, const char* what) {
    if (result == 0) return;
    cuda::Fault fault = fault_of_start(result, *driver_);
    throw Error(fmt::format("{}: {} ({}) at {}; {}", id().to_string(), fault.cause, fault.code, what, fault.fix));
  };
  require(driver_->device_get(&device_, ordinal), "cuDeviceGet");
  char name[256] = "";
  require(driver_->device_name(name, sizeof name, device_), "cuDeviceGetName");
  size_t bytes = 0;
  require(driver_->device_memory(&bytes, device_), "cuDeviceTotalMem");
  auto attribute = [&](int which) {
    int value = 0;
    require(driver_->device_attribute(&value, which, device_), "cuDeviceGetAttribute");
    return value;
  };
  int capability = attribute(cuda::attribute_major) * 10 + attribute(cuda::attribute_minor);
  spec_.name = name;
  spec_.target = fmt::format("{}_{}", driver_->takes_ptx_alone() ? "compute" : "sm", capability);
  spec_.memory_bytes = static_cast<int64_t>(bytes);
  // Two transfers a clock; drivers from 13 on may report no clocks: then that of HBM3 at 5 Gbit/s a pin.
  double memory_clock = attribute(cuda::attribute_memory_clock_khz) * 1e3;
  if (memory_clock <= 0) memory_clock = 2.5e9;
  spec_.memory_bandwidth = std::max(2 * memory_clock * attribute(cuda::attribute_bus_bits) / 8, 1e9);
  spec_.launch_seconds = 4e-6;
  double clock = attribute(cuda::attribute_clock_khz) * 1e3;
  add_rates(spec_, std::max(clock, 1e9) * attribute(cuda::attribute_multiprocessors), lanes_of(capability));
  require(driver_->context_retain(&context_, device_), "cuDevicePrimaryCtxRetain");
}

CudaDevice::~CudaDevice() {
  while (!streams_.empty()) close_stream(streams_.begin()->first);
  driver_->context_set(context_);
  products_.reset();
  for (const auto& [address, allocation] : allocations_) driver_->free(allocation.base);
  for (const Staging& staging : staging_) driver_->host_free(staging.memory);
  for (cuda::EventObject* event : events_) driver_->event_destroy(event);
  if (slots_) driver_->host_free(slots_);
  if (own_kernels_) driver_->module_unload(own_kernels_);
  driver_->context_release(device_);
}

std::vector<Link> CudaDevice::default_links(const DeviceId& host,
                                            const std::vector<std::shared_ptr<CudaDevice>>& devices) {
  constexpr double pci = 25e9, peers = 100e9;
  std::vector<Link> links;
  for (const std::shared_ptr<CudaDevice>& device : devices) {
    links.push_back({host, device->id(), 6e-6, pci});
    links.push_back({device->id(), host, 6e-6, pci});
    for (const std::shared_ptr<CudaDevice>& other : devices) {
      if (other == device) continue;
      // Where one cannot reach the other, the driver goes through the host's memory.
      int can = 0;
      bool reaches = device->driver_->can_access_peer(&can, device->device_, other->device_) == 0 && can;
      if (reaches) {
        device->driver_->context_set(device->context_);
        cuda::Result result = device->driver_->enable_peer(other->context_, 0);
        reaches = result == 0 || result == cuda::peer_enabled_already;
      }
      links.push_back({device->id(), other->id(), 4e-6, reaches ? peers : pci / 2});
    }
  }
  return links;
}

void CudaDevice::enter() const {
  if (!lost_.empty()) throw DeviceLost(lost_);
  driver_->context_set(context_);
}

void CudaDevice::check(cuda::Result result, const std::string& what) {
  if (result == 0) [[likely]]
    return;
  if (cuda::is_sticky(result)) lose(result);
  throw Error(fmt::format("{}: {} failed: {}", id().to_string(), what, driver_->describe(result)));
}

// The driver says neither which kernel nor which stream: all that may have run are named, the latest of each stream.
void CudaDevice::lose(cuda::Result result) {
  std::string names;
  int count = 0;
  for (const auto& [number, stream] : streams_)
    for (const Noted& noted : stream.unfinished) {
      names += (count++ == 0 ? "" : ", ") + noted.name;
    }
  lost_ = fmt::format("{} was lost: {}; {}{}", id().to_string(), driver_->describe(result),
                      count == 0   ? "nothing was running"
                      : count == 1 ? "it was running "
                                   : "it was running one of: ",
                      names);
  throw DeviceLost(lost_);
}

void* CudaDevice::try_allocate(int64_t bytes, int64_t alignment) {
  std::lock_guard lock(mutex_);
  enter();
  void* allocated = allocate_now(bytes, alignment);
  if (!allocated && release_workspaces()) allocated = allocate_now(bytes, alignment);
  return allocated;
}

// What programs need goes before what makes their products faster.
bool CudaDevice::release_workspaces() {
  bool had_any = products_->release_workspaces();
  for (CudaGraph* graph : graphs_) had_any |= graph->release_workspace();
  if (had_any) products_->save_memory();
  return had_any;
}

void* CudaDevice::allocate_now(int64_t bytes, int64_t alignment) {
  if (bytes < 0 || bytes > spec_.memory_bytes - used_) return nullptr;
  int64_t slack = alignment > natural_alignment ? alignment : 0;
  cuda::Address base = 0;
  cuda::Result result = driver_->allocate(&base, static_cast<size_t>(std::max<int64_t>(bytes, 1) + slack));
  if (result == cuda::out_of_memory) return nullptr;
  check(result, fmt::format("allocating {} bytes", bytes));
  uint64_t address = slack ? static_cast<uint64_t>(round_up(static_cast<int64_t>(base), alignment)) : base;
  allocations_.emplace(address, Allocation{base, bytes});
  used_ += bytes;
  return reinterpret_cast<void*>(address);
}

void CudaDevice::free(void* address) noexcept {
  std::lock_guard lock(mutex_);
  free_now(address);
}

void CudaDevice::free_now(void* address) noexcept {
  auto found = allocations_.find(reinterpret_cast<uint64_t>(address));
  if (found == allocations_.end()) return;
  driver_->context_set(context_);
  driver_->free(found->second.base);  // of a lost device: an error that changes nothing
  used_ -= found->second.bytes;
  allocations_.erase(found);
}

int64_t CudaDevice::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_;
}

std::optional<int64_t> CudaDevice::free_bytes() const {
  std::lock_guard lock(mutex_);
  enter();
  size_t free = 0, all = 0;
  if (driver_->memory_info(&free, &all) != 0) return {};
  return static_cast<int64_t>(free);
}

std::shared_ptr<const LoadedImage> CudaDevice::load(const KernelImage& image) {
  std::lock_guard lock(mutex_);
  enter();
  return LoadedCudaImage::load(driver_, device_, spec_.target, image);
}

void CudaDevice::launch(int number, const KernelLaunch& launch) {
  std::lock_guard lock(mutex_);
  enter();
  Stream& stream = stream_at(number);
  note(stream, launch.name);
  if (!products_->start(stream, launch)) start_kernel(stream, launch);
}

std::string CudaDevice::performer(const KernelLaunch& launch) const {
  std::lock_guard lock(mutex_);
  return products_->performer(launch);
}

void CudaDevice::start_kernel(Stream& stream, const KernelLaunch& launch, void* product) {
  int slot = take_slot();
  cuda::Address status = slots_address_ + static_cast<uint64_t>(slot) * sizeof *slots_;
  stream.deliveries.push_back({stream.recorded + 1, nullptr, 0, -1, launch.status, slot});
  std::vector<void*> parameters;
  parameters.reserve(static_cast<size_t>(launch.buffer_count) + static_cast<size_t>(launch.scalar_count) + 2);
  for (int i = 0; i < launch.buffer_count; ++i)
    parameters.push_back(static_cast<void*>(const_cast<void**>(&launch.buffers[i])));
  if (product) parameters.push_back(static_cast<void*>(&product));
  parameters.push_back(&status);
  for (int i = 0; i < launch.scalar_count; ++i) parameters.push_back(const_cast<int64_t*>(&launch.scalars[i]));
  const auto* image = static_cast<const LoadedCudaImage*>(launch.image);
  for (const LoadedCudaImage::Phase& phase : product ? image->rest(launch.entry) : image->phases(launch.entry))
    start(stream, phase.function, phase.sizes, parameters.data());
}

void CudaDevice::start(Stream& stream, cuda::FunctionObject* function, const KernelPhase& phase, void** parameters) {
  auto size = [](int64_t value) { return static_cast<unsigned>(value); };
  const auto& [groups_x, groups_y, groups_z] = phase.groups;
  const auto& [threads_x, threads_y, threads_z] = phase.group_threads;
  if (groups_x == 0 || groups_y == 0 || groups_z == 0) return;
  check(driver_->launch(function, size(groups_x), size(groups_y), size(groups_z), size(threads_x), size(threads_y),
                        size(threads_z), size(phase.shared_bytes), stream.handle, parameters, nullptr),
        "starting " + stream.unfinished.back().name);
}

void CudaDevice::accumulate(int number, void* destination, const void* source, DType dtype, int64_t count) {
  std::lock_guard lock(mutex_);
  enter();
  if (count == 0) return;
  if (!own_kernels_) own_kernels_ = load_cuda_module(*driver_, own_kernels_text().c_str(), "the runtime's own kernels");
  cuda::FunctionObject* function = nullptr;
  std::string symbol = fmt::format("accumulate_{}", name(dtype));
  check(driver_->module_function(&function, own_kernels_, symbol.c_str()), symbol);
  KernelPhase phase;
  phase.group_threads[0] = 256;
  phase.groups[0] = std::min<int64_t>(ceil_div(count, phase.group_threads[0]), 4096);
  void* parameters[] = {static_cast<void*>(&destination), static_cast<void*>(&source), &count};
  Stream& stream = stream_at(number);
  note(stream, symbol.c_str());
  start(stream, function, phase, parameters);
}

}  // namespace placewright
