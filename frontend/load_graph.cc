#include "load_graph.h"

#include <atomic>
#include <cstring>

#include <fmt/core.h>

namespace placewright::capture {

// A value's bytes on another device than the host's, uploaded once however often it is used.
struct Resident {
  DeviceMemory memory;
};

namespace {
// Makes visible what threads did before they let go of a node whose use count was seen to be one. ThreadSanitizer knows
// no fences; it follows is_read.
void acquire_from_others() {
#if !defined(__SANITIZE_THREAD__)
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}
}  // namespace

void LoadedGraph::prepare() {
  const Program& program = executable_->program();
  for (int index : program.arguments) {
    const ProgramBuffer& buffer = program.buffers[static_cast<size_t>(index)];
    arguments_.push_back(
        {session_->devices().find(buffer.device).get(), &buffer, byte_size(buffer.dtype, element_count(buffer.sizes))});
  }
  views_.resize(arguments_.size());
  results_.resize(program.results.size());
}

BufferView LoadedGraph::view_of_argument(const Tensor& tensor, const Argument& argument) {
  const Node& node = *tensor.node();
  if (argument.device == host_ && node.has_host.load(std::memory_order_acquire)) {
    const HostTensor& held = node.host[static_cast<size_t>(tensor.result())];  // the caller's tensor keeps it
    return {host_, const_cast<uint8_t*>(held.raw()), argument.bytes};
  }
  // What another call computed on the device stands there already.
  if (node.computed && node.computed->view().device == argument.device &&
      node.computed->layout() == argument.buffer->layout)
    return node.computed->view();
  return upload(tensor, argument);
}

BufferView LoadedGraph::upload(const Tensor& tensor, const Argument& argument) {
  HostTensor host = value_of(tensor, {});
  const ProgramBuffer& buffer = *argument.buffer;
  const std::shared_ptr<Device>& device = session_->devices().find(buffer.device);
  if (device->is_host_memory()) {
    held_.push_back(host);
    return {device.get(), const_cast<uint8_t*>(std::as_const(host).raw()), host.bytes()};
  }
  std::lock_guard lock(tensor.node()->mutex);
  std::shared_ptr<Resident>& resident = tensor.node()->resident;
  if (!resident || resident->memory.device() != device) {
    auto made = std::make_shared<Resident>();
    made->memory = DeviceMemory(device, host.bytes(), 64, buffer.name);
    BufferView source{session_->devices().host().get(), const_cast<uint8_t*>(std::as_const(host).raw()), host.bytes()};
    copy_now(made->memory.view(), source, host.bytes(), buffer.name.c_str());
    argument_bytes_ += host.bytes();
    tensor.node()->is_read.store(true, std::memory_order_release);
    resident = std::move(made);
  }
  residents_.push_back(resident);
  return resident->memory.view();
}

void LoadedGraph::run(std::span<const Tensor* const> arguments, std::span<const double> scalars,
                      std::span<Tensor> results) {
  struct Release {
    LoadedGraph& graph;
    ~Release() {
      graph.held_.clear();
      graph.residents_.clear();
    }
  } release{*this};
  argument_bytes_ = 0;
  constexpr size_t stride = 64 / sizeof(double);  // arguments stand at multiples of 64 bytes
  if (scalars_.elements() != static_cast<int64_t>(scalars.size() * stride)) [[unlikely]]
    scalars_ = HostTensor(DType::f64, {static_cast<int64_t>(scalars.size() * stride)});
  double* staged = reinterpret_cast<double*>(scalars_.raw());
  PW_CHECK(arguments.size() + scalars.size() + own_values_.size() == views_.size(), "arguments of a captured graph");
  PW_CHECK(results.size() <= results_.size(), "results of a captured graph");
  size_t next = 0;
  for (const Tensor* argument : arguments) {
    views_[next] = view_of_argument(*argument, arguments_[next]);
    ++next;
  }
  for (size_t i = 0; i < scalars.size(); ++i) {
    staged[i * stride] = scalars[i];
    views_[next++] = {host_, staged + i * stride, sizeof(double)};
  }
  for (const Tensor& value : own_values_) {
    views_[next] = view_of_argument(value, arguments_[next]);
    ++next;
  }
  executable_->run(*context_, views_);
  // The ledger is a promise: here every step that any program runs is held to it. What the caller's own tensors took to
  // their device is not a step's.
  const int64_t counted = context_->transfers().bytes;
  PW_CHECK(counted == planned_step_bytes_,
           fmt::format("the ledger of a step has {} bytes, the runtime counted {}", planned_step_bytes_, counted));
  for (size_t i = 0; i < results.size(); ++i) results[i] = Tensor(next_result(i));
}

void LoadedGraph::run_lazily(std::span<const Tensor* const> arguments, std::span<Tensor> results) {
  std::lock_guard lock(mutex_);
  run(arguments, {}, results);
}

NodePtr LoadedGraph::make_result(size_t i) const {
  const Program& program = executable_->program();
  const ProgramBuffer& buffer = program.buffers[static_cast<size_t>(program.results[i])];
  auto node = std::make_shared<Node>();
  node->kind = Node::Kind::value;
  node->serial = next_serial();
  node->results = {Type(buffer.dtype, Shape(buffer.sizes.begin(), buffer.sizes.end()))};
  node->device = buffer.device;
  if (buffer.device != host_->id()) node->device_reason = "computed there";
  return node;
}

// The node of result i of the run that has just ended.
const NodePtr& LoadedGraph::next_result(size_t i) {
  ResultNodes& made = results_[i];
  NodePtr& node = made.nodes[made.next];
  made.next = 1 - made.next;
  if (!node || node.use_count() > 1 || !keeps_results_) [[unlikely]] {
    node = make_result(i);
  } else {
    acquire_from_others();  // whoever read it has let go of it
    if (node->is_read.load(std::memory_order_acquire)) {
      std::lock_guard lock(node->mutex);
      node->has_host.store(false, std::memory_order_relaxed);
      node->host.clear();
      node->resident.reset();
      node->is_read.store(false, std::memory_order_relaxed);
    }
  }
  context_->exchange_result(static_cast<int>(i), node->computed);
  return node;
}

}  // namespace placewright::capture
