#include "cuda_graph.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "placewright/base/checked.h"

namespace placewright {
namespace {

constexpr int64_t most_pinned = 64 << 20;  // of one graph: what the staging buffers have in all
constexpr int64_t pinned_alignment = 256;
constexpr size_t most_names = 16;  // in the message of a lost device

bool comes_from_host(const WorkItem& work) { return work.copy && work.copy->source.device->is_host_memory(); }
bool goes_to_host(const WorkItem& work) { return work.copy && work.copy->destination.device->is_host_memory(); }

std::string join_names(std::span<const WorkItem> items) {
  std::vector<std::string> names;
  for (const WorkItem& work : items) {
    std::string name = work.launch ? work.launch->name : work.copy->name;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  std::string all;
  for (size_t i = 0; i < std::min(names.size(), most_names); ++i) all += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > most_names) all += fmt::format(", or {} more", names.size() - most_names);
  return all;
}

// Calls use(node) for a phase of a launch, with its parameters as they are now.
template <class Use>
void with_kernel_node(const KernelLaunch& launch, cuda::Address status, const LoadedCudaImage::Phase& phase, Use use) {
  std::vector<void*> parameters;
  for (int i = 0; i < launch.buffer_count; ++i) parameters.push_back(const_cast<void**>(&launch.buffers[i]));
  parameters.push_back(&status);
  for (int i = 0; i < launch.scalar_count; ++i) parameters.push_back(const_cast<int64_t*>(&launch.scalars[i]));
  cuda::KernelNode node;
  node.function = phase.function;
  for (size_t i = 0; i < 3; ++i) {
    node.groups[i] = static_cast<unsigned>(phase.sizes.groups[i]);
    node.threads[i] = static_cast<unsigned>(phase.sizes.group_threads[i]);
  }
  node.shared_bytes = static_cast<unsigned>(phase.sizes.shared_bytes);
  node.parameters = parameters.data();
  use(node);
}

}  // namespace

CudaGraph::CudaGraph(CudaDevice& device, std::span<const WorkItem> items) : device_(device), names_(join_names(items)) {
  for (const WorkItem& work : items) items_.emplace_back().work = work;
}

CudaGraph::~CudaGraph() {
  std::lock_guard lock(device_.mutex_);
  const cuda::Driver& driver = *device_.driver_;
  driver.context_set(device_.context_);
  if (was_run_) driver.event_synchronize(last_use_);
  for (auto& [number, stream] : device_.streams_)
    std::erase_if(stream.deliveries, [&](const CudaDevice::Delivery& delivery) { return delivery.graph == this; });
  if (made_) driver.graph_exec_destroy(made_);
  if (graph_) driver.graph_destroy(graph_);
  if (pinned_) driver.host_free(pinned_);
  if (last_use_) device_.free_events_.push_back(last_use_);
}

bool CudaGraph::build(std::string* reason) {
  const cuda::Driver& driver = *device_.driver_;
  try {
    allocate_pinned();
    last_use_ = device_.take_event();
    device_.check(driver.graph_create(&graph_, 0), "making a graph");
    for (Item& item : items_) add_nodes(item);
    device_.check(driver.graph_instantiate(&made_, graph_, 0), "instantiating a graph");
    // What it takes on the device is taken now, not by the first launch.
    cuda::StreamObject* stream = device_.stream_at(device_.internal_stream_).handle;
    device_.check(driver.graph_upload(made_, stream), "uploading a graph");
    device_.check(driver.stream_synchronize(stream), "uploading a graph");
  } catch (const DeviceLost&) {
    throw;
  } catch (const Error& error) {
    *reason = error.what();
    return false;
  }
  return true;
}

// Status words first, then a place for each copy from and to the host.
void CudaGraph::allocate_pinned() {
  int64_t bytes = 0;
  for (const Item& item : items_) bytes += item.work.launch ? static_cast<int64_t>(sizeof *item.status) : 0;
  for (const Item& item : items_)
    if (comes_from_host(item.work) || goes_to_host(item.work))
      bytes = round_up(bytes, pinned_alignment) + item.work.copy->bytes;
  if (bytes > most_pinned)
    throw Error(fmt::format("copies from and to the host need {} bytes of pinned memory, a graph takes {} at most",
                            bytes, most_pinned));
  if (bytes == 0) return;
  device_.check(
      device_.driver_->host_allocate(&pinned_, static_cast<size_t>(bytes), cuda::host_portable | cuda::host_mapped),
      "allocating a graph's pinned memory");
  std::memset(pinned_, 0, static_cast<size_t>(bytes));
  cuda::Address address = 0;
  device_.check(device_.driver_->host_address(&address, pinned_, 0), "mapping a graph's pinned memory");
  int64_t next = 0;
  for (Item& item : items_) {
    if (!item.work.launch) continue;
    item.status = reinterpret_cast<uint64_t*>(static_cast<uint8_t*>(pinned_) + next);
    item.status_address = address + static_cast<uint64_t>(next);
    next += static_cast<int64_t>(sizeof *item.status);
  }
  for (Item& item : items_) {
    if (!comes_from_host(item.work) && !goes_to_host(item.work)) continue;
    next = round_up(next, pinned_alignment);
    item.pinned = static_cast<uint8_t*>(pinned_) + next;
    next += item.work.copy->bytes;
  }
}

void CudaGraph::add_nodes(Item& item) {
  const cuda::Driver& driver = *device_.driver_;
  std::vector<cuda::GraphNodeObject*> before;
  for (int earlier : item.work.after)
    for (cuda::GraphNodeObject* node : items_[static_cast<size_t>(earlier)].endings)
      if (std::find(before.begin(), before.end(), node) == before.end()) before.push_back(node);
  auto stand_behind = [&](Node& node) {
    item.nodes.push_back(node);
    before = {node.handle};
  };
  if (const KernelLaunch* launch = item.work.launch) {
    for (const LoadedCudaImage::Phase& phase :
         static_cast<const LoadedCudaImage*>(launch->image)->phases(launch->entry)) {
      if (std::find(phase.sizes.groups.begin(), phase.sizes.groups.end(), 0) != phase.sizes.groups.end()) continue;
      Node node{nullptr, &phase};
      with_kernel_node(*launch, item.status_address, phase, [&](const cuda::KernelNode& parameters) {
        device_.check(driver.graph_add_kernel(&node.handle, graph_, before.data(), before.size(), &parameters),
                      launch->name);
      });
      stand_behind(node);
    }
  } else if (item.work.copy->bytes > 0) {
    Node node;
    cuda::CopyNode parameters = copy_node(item);
    device_.check(
        driver.graph_add_copy(&node.handle, graph_, before.data(), before.size(), &parameters, device_.context_),
        item.work.copy->name);
    stand_behind(node);
  }
  item.endings = before;
  Ends ends;
  std::span<const void* const> addresses = addresses_of(item, ends);
  item.addresses.assign(addresses.begin(), addresses.end());
}

// Of the memory that a node names itself: a copy's end on the host is always the pinned one.
std::span<const void* const> CudaGraph::addresses_of(const Item& item, Ends& ends) const {
  if (const KernelLaunch* launch = item.work.launch)
    return {launch->buffers, static_cast<size_t>(launch->buffer_count)};
  const DeviceCopy& copy = *item.work.copy;
  ends = {comes_from_host(item.work) ? item.pinned : copy.source.address,
          goes_to_host(item.work) ? item.pinned : copy.destination.address};
  return ends;
}

cuda::CopyNode CudaGraph::copy_node(const Item& item) const {
  auto bytes = static_cast<size_t>(item.work.copy->bytes);
  auto end = [&](bool is_host, const BufferView& view) {
    cuda::CopyNode::End made;
    made.memory = is_host ? cuda::memory_host : cuda::memory_device;
    if (is_host)
      made.host = item.pinned;
    else
      made.device = reinterpret_cast<cuda::Address>(view.address);
    made.pitch = bytes;
    made.height = 1;
    return made;
  };
  cuda::CopyNode node;
  node.from = end(comes_from_host(item.work), item.work.copy->source);
  node.to = end(goes_to_host(item.work), item.work.copy->destination);
  node.bytes = bytes;
  return node;
}

void CudaGraph::update(Item& item) {
  Ends ends;
  std::span<const void* const> now = addresses_of(item, ends);
  if (std::equal(now.begin(), now.end(), item.addresses.begin())) return;
  const cuda::Driver& driver = *device_.driver_;
  for (const Node& node : item.nodes) {
    if (node.phase) {
      with_kernel_node(*item.work.launch, item.status_address, *node.phase, [&](const cuda::KernelNode& parameters) {
        device_.check(driver.graph_set_kernel(made_, node.handle, &parameters), item.work.launch->name);
      });
    } else {
      cuda::CopyNode parameters = copy_node(item);
      device_.check(driver.graph_set_copy(made_, node.handle, &parameters, device_.context_), item.work.copy->name);
    }
  }
  item.addresses.assign(now.begin(), now.end());
}

// What it left in pinned memory is handed over before the next run writes there.
void CudaGraph::finish_last_run() {
  for (auto& [number, stream] : device_.streams_)
    for (const CudaDevice::Delivery& delivery : stream.deliveries)
      if (delivery.graph == this) return device_.finish_all(stream);
  if (was_run_) device_.check(device_.driver_->event_synchronize(last_use_), "waiting for a graph");
}

void CudaGraph::run(CudaDevice::Stream& stream) {
  finish_last_run();
  for (Item& item : items_) {
    update(item);
    if (item.status) *item.status = 0;
    if (!comes_from_host(item.work)) continue;
    const auto* from = static_cast<const uint8_t*>(item.work.copy->source.address);
    device_.require_host_side(stream, from, item.work.copy->bytes);
    std::memcpy(item.pinned, from, static_cast<size_t>(item.work.copy->bytes));
  }
  device_.note(stream, names_.c_str());
  device_.check(device_.driver_->graph_launch(made_, stream.handle), "starting a graph of " + names_);
  was_run_ = true;
  device_.check(device_.driver_->event_record(last_use_, stream.handle), "recording an event");
  auto deliver_later = [&](void* to, int64_t bytes, const void* from) {
    CudaDevice::Delivery delivery;
    delivery.before_event = stream.recorded + 1;
    delivery.to = to;
    delivery.bytes = bytes;
    delivery.graph = this;
    delivery.from = from;
    stream.deliveries.push_back(delivery);
  };
  for (const Item& item : items_)
    if (goes_to_host(item.work)) deliver_later(item.work.copy->destination.address, item.work.copy->bytes, item.pinned);
  deliver_later(nullptr, 0, nullptr);
}

void CudaGraph::deliver(void* to, const void* from, int64_t bytes) {
  if (to) std::memcpy(to, from, static_cast<size_t>(bytes));
  if (from) return;
  for (Item& item : items_)
    if (item.status && item.work.launch->status) *item.work.launch->status |= *item.status;
}

std::unique_ptr<PreparedWork> CudaDevice::prepare(std::span<const WorkItem> items, std::string* reason) {
  if (!driver_->has_graphs()) {
    *reason = fmt::format("{} has no graphs: a driver for CUDA 12 or later does", driver_->path());
    return nullptr;
  }
  auto graph = std::make_unique<CudaGraph>(*this, items);
  std::lock_guard lock(mutex_);  // gone before the graph, which takes it to let go of what it has
  enter();
  if (!graph->build(reason)) return nullptr;
  return graph;
}

void CudaDevice::run(int number, PreparedWork& work) {
  std::lock_guard lock(mutex_);
  enter();
  static_cast<CudaGraph&>(work).run(stream_at(number));
}

}  // namespace placewright
