#include "cuda_graph.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "lt_products.h"
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

// Calls use(node) for a phase of a launch, with its parameters as they are now; `sums`: null where it takes none.
template <class Use>
void with_kernel_node(const KernelLaunch& launch, void* sums, cuda::Address status, const LoadedCudaImage::Phase& phase,
                      Use use) {
  std::vector<void*> parameters;
  for (int i = 0; i < launch.buffer_count; ++i)
    parameters.push_back(static_cast<void*>(const_cast<void**>(&launch.buffers[i])));
  if (sums) parameters.push_back(static_cast<void*>(&sums));
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

// False, with the reason, if the driver refuses what `action` asks of it.
template <class Action>
bool is_taken(std::string* reason, Action action) {
  try {
    action();
  } catch (const DeviceLost&) {
    throw;
  } catch (const Error& error) {
    *reason = error.what();
    return false;
  }
  return true;
}

}  // namespace

CudaGraph::CudaGraph(CudaDevice& device, std::span<const WorkItem> items) : device_(device), names_(join_names(items)) {
  for (const WorkItem& work : items) items_.emplace_back().work = work;
}

CudaGraph::~CudaGraph() {
  std::lock_guard lock(device_.mutex_);
  const cuda::Driver& driver = *device_.driver_;
  driver.context_set(device_.context_);
  std::erase(device_.graphs_, this);
  if (was_run_) driver.event_synchronize(last_use_);
  for (auto& [number, stream] : device_.streams_)
    std::erase_if(stream.deliveries, [&](const CudaDevice::Delivery& delivery) { return delivery.graph == this; });
  if (made_) driver.graph_exec_destroy(made_);
  if (graph_) driver.graph_destroy(graph_);
  if (pinned_) driver.host_free(pinned_);
  if (workspace_) device_.free_now(workspace_);
  if (last_use_) device_.free_events_.push_back(last_use_);
}

bool CudaGraph::build(std::string* reason) {
  return is_taken(reason, [&] {
    allocate_pinned();
    last_use_ = device_.take_event();
    make();
    device_.graphs_.push_back(this);
  });
}

void CudaGraph::make() {
  const cuda::Driver& driver = *device_.driver_;
  choose_libraries();
  device_.check(driver.graph_create(&graph_, 0), "making a graph");
  for (Item& item : items_) add_nodes(item);
  device_.check(driver.graph_instantiate(&made_, graph_, 0), "instantiating a graph");
  // What it takes on the device is taken now, not by the first launch.
  cuda::StreamObject* stream = device_.stream_at(device_.internal_stream_).handle;
  device_.check(driver.graph_upload(made_, stream), "uploading a graph");
  device_.check(driver.stream_synchronize(stream), "uploading a graph");
}

// Nothing of it runs: the last run is finished.
void CudaGraph::rebuild() {
  const cuda::Driver& driver = *device_.driver_;
  if (made_) driver.graph_exec_destroy(std::exchange(made_, nullptr));
  if (graph_) driver.graph_destroy(std::exchange(graph_, nullptr));
  if (workspace_) device_.free_now(std::exchange(workspace_, nullptr));
  workspace_users_.clear();
  for (Item& item : items_) {
    item.nodes.clear();
    item.product = nullptr;
  }
  make();
  is_stale_ = false;
}

bool CudaGraph::release_workspace() {
  if (!workspace_) return false;
  if (was_run_) device_.check(device_.driver_->event_synchronize(last_use_), "waiting for a graph");
  device_.free_now(std::exchange(workspace_, nullptr));
  is_stale_ = true;
  return true;
}

// A step runs the same algorithms as a graph and kernel by kernel: sums are taken in the same order.
void CudaGraph::choose_libraries() {
  int64_t workspace = 0;
  for (Item& item : items_) {
    if (!item.work.launch) continue;
    std::optional<LtProducts::Run> run =
        device_.products_->find(device_.stream_at(device_.internal_stream_), *item.work.launch);
    if (!run) continue;
    if (!device_.driver_->has_capture())
      throw Error(fmt::format("{} runs {}, and {} cannot capture what it does",
                              device_.products_->performer(*item.work.launch), item.work.launch->name,
                              device_.driver_->path()));
    item.product = run->entry->product.get();
    item.choice = run->entry->choice;
    item.sums_bytes = run->entry->sums_bytes;
    workspace = std::max(workspace, run->entry->workspace_bytes());
  }
  if (workspace == 0) return;
  device_.products_->release_workspaces();  // of the first step, which went kernel by kernel
  workspace_ = device_.allocate_now(workspace, pinned_alignment);
  if (workspace_) return;
  for (Item& item : items_)
    if (item.product && item.sums_bytes + item.choice.workspace_bytes > 0) {
      device_.products_->drop(*item.work.launch);
      item.product = nullptr;
    }
}

// What the library gives the stream, as a graph.
bool CudaGraph::capture(const Item& item, cuda::GraphObject** made) {
  const cuda::Driver& driver = *device_.driver_;
  cuda::StreamObject* stream = device_.stream_at(device_.internal_stream_).handle;
  LtProduct::Operands operands = item.product->operands(buffers_of(*item.work.launch));
  if (void* sums = sums_of(item)) operands.result = sums;
  device_.check(driver.capture_begin(stream, cuda::capture_relaxed), "capturing");
  const cuda::LtStatus status =
      item.product->run(item.choice.algorithm, operands, static_cast<uint8_t*>(workspace_) + item.sums_bytes,
                        item.choice.workspace_bytes, stream);
  const cuda::Result result = driver.capture_end(stream, made);
  if (cuda::is_sticky(result)) device_.check(result, "capturing");
  if (status == 0 && result == 0 && *made) return true;
  if (*made) driver.graph_destroy(std::exchange(*made, nullptr));
  return false;
}

bool CudaGraph::add_product(Item& item, const Nodes& before) {
  cuda::GraphObject* captured = nullptr;
  if (!capture(item, &captured)) {
    device_.products_->drop(*item.work.launch);
    item.product = nullptr;
    return false;
  }
  Node node;
  const cuda::Result result =
      device_.driver_->graph_add_child(&node.handle, graph_, before.data(), before.size(), captured);
  device_.driver_->graph_destroy(captured);
  device_.check(result, item.work.launch->name);
  item.nodes.push_back(node);
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
  Nodes before;
  auto stand_behind = [&](const Nodes& nodes) {
    for (cuda::GraphNodeObject* node : nodes)
      if (std::find(before.begin(), before.end(), node) == before.end()) before.push_back(node);
  };
  for (int earlier : item.work.after) stand_behind(items_[static_cast<size_t>(earlier)].endings);
  const bool uses_workspace = item.product && item.sums_bytes + item.choice.workspace_bytes > 0;
  if (uses_workspace) stand_behind(workspace_users_);
  if (item.product && add_product(item, before)) {
    if (void* sums = sums_of(item)) add_phases(item, {item.nodes.back().handle}, sums);
    if (uses_workspace) workspace_users_ = {item.nodes.back().handle};
  } else if (item.work.launch) {
    add_phases(item, before, nullptr);
  } else if (item.work.copy->bytes > 0) {
    Node& node = item.nodes.emplace_back();
    cuda::CopyNode parameters = copy_node(item);
    device_.check(device_.driver_->graph_add_copy(&node.handle, graph_, before.data(), before.size(), &parameters,
                                                  device_.context_),
                  item.work.copy->name);
  }
  item.endings = item.nodes.empty() ? before : Nodes{item.nodes.back().handle};
  Ends ends;
  std::span<const void* const> addresses = addresses_of(item, ends);
  item.addresses.assign(addresses.begin(), addresses.end());
}

// Each behind the one before it.
void CudaGraph::add_phases(Item& item, Nodes before, void* sums) {
  const KernelLaunch& launch = *item.work.launch;
  const auto* image = static_cast<const LoadedCudaImage*>(launch.image);
  for (const LoadedCudaImage::Phase& phase : sums ? image->rest(launch.entry) : image->phases(launch.entry)) {
    if (std::find(phase.sizes.groups.begin(), phase.sizes.groups.end(), 0) != phase.sizes.groups.end()) continue;
    Node node{nullptr, &phase};
    with_kernel_node(launch, sums, item.status_address, phase, [&](const cuda::KernelNode& parameters) {
      device_.check(device_.driver_->graph_add_kernel(&node.handle, graph_, before.data(), before.size(), &parameters),
                    launch.name);
    });
    item.nodes.push_back(node);
    before = {node.handle};
  }
}

// Of the memory that a node names itself: a copy's end on the host is always the pinned one.
std::span<const void* const> CudaGraph::addresses_of(const Item& item, Ends& ends) const {
  if (item.work.launch) return buffers_of(*item.work.launch);
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
    return made;
  };
  cuda::CopyNode node;
  node.from = end(comes_from_host(item.work), item.work.copy->source);
  node.to = end(goes_to_host(item.work), item.work.copy->destination);
  node.bytes = bytes;
  return node;
}

bool CudaGraph::update(Item& item) {
  Ends ends;
  std::span<const void* const> now = addresses_of(item, ends);
  if (std::equal(now.begin(), now.end(), item.addresses.begin())) return true;
  const cuda::Driver& driver = *device_.driver_;
  if (item.product && !update_product(item)) return false;
  for (const Node& node : item.nodes) {
    if (node.phase) {
      with_kernel_node(
          *item.work.launch, sums_of(item), item.status_address, *node.phase, [&](const cuda::KernelNode& parameters) {
            device_.check(driver.graph_set_kernel(made_, node.handle, &parameters), item.work.launch->name);
          });
    } else if (item.work.copy) {
      cuda::CopyNode parameters = copy_node(item);
      device_.check(driver.graph_set_copy(made_, node.handle, &parameters, device_.context_), item.work.copy->name);
    }
  }
  item.addresses.assign(now.begin(), now.end());
  return true;
}

bool CudaGraph::update_product(Item& item) {
  if (!device_.products_->still_fits(*item.work.launch, item.choice)) return false;
  cuda::GraphObject* captured = nullptr;
  if (!capture(item, &captured)) return false;
  const cuda::Result result = device_.driver_->graph_set_child(made_, item.nodes.front().handle, captured);
  device_.driver_->graph_destroy(captured);
  if (cuda::is_sticky(result)) device_.check(result, item.work.launch->name);
  return result == 0;
}

// What it left in pinned memory is handed over before the next run writes there.
void CudaGraph::finish_last_run() {
  for (auto& [number, stream] : device_.streams_)
    for (const CudaDevice::Delivery& delivery : stream.deliveries)
      if (delivery.graph == this) return device_.finish_all(stream);
  if (was_run_) device_.check(device_.driver_->event_synchronize(last_use_), "waiting for a graph");
}

void CudaGraph::prepare_run() {
  if (is_stale_ || !std::all_of(items_.begin(), items_.end(), [&](Item& item) { return update(item); })) rebuild();
}

bool CudaGraph::run(CudaDevice::Stream& stream, std::string* reason) {
  finish_last_run();
  if (!is_taken(reason, [&] { prepare_run(); })) return false;
  for (Item& item : items_) {
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
  return true;
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

bool CudaDevice::run(int number, PreparedWork& work, std::string* reason) {
  std::lock_guard lock(mutex_);
  enter();
  return static_cast<CudaGraph&>(work).run(stream_at(number), reason);
}

}  // namespace placewright
