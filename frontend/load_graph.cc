#include "load_graph.h"

#include <cstring>

#include <fmt/format.h>

namespace placewright::capture {

// A value's bytes on another device than the host's, uploaded once however often it is used.
struct Resident {
  DeviceMemory memory;
};

HostTensor value_of(const Tensor& tensor, Site where);  // read.cc

BufferView LoadedGraph::view_of_argument(const Tensor& tensor, const ProgramBuffer& buffer) {
  const Node& node = *tensor.node();
  if (node.kind == Node::Kind::value && !node.host.empty() && buffer.device == host_->id()) {
    const HostTensor& held = node.host[static_cast<size_t>(tensor.result())];  // the caller's tensor keeps it
    return {host_, const_cast<uint8_t*>(held.raw()), held.bytes()};
  }
  HostTensor host = value_of(tensor, {});
  const std::shared_ptr<Device>& device = session_->devices().find(buffer.device);
  if (device->is_host_memory()) {
    held_.push_back(host);
    return {device.get(), const_cast<uint8_t*>(std::as_const(host).raw()), host.bytes()};
  }
  std::shared_ptr<Resident>& resident = tensor.node()->resident;
  if (!resident || resident->memory.device() != device) {
    auto made = std::make_shared<Resident>();
    made->memory = DeviceMemory(device, host.bytes(), 64, buffer.name);
    BufferView source{session_->devices().host().get(), const_cast<uint8_t*>(std::as_const(host).raw()), host.bytes()};
    int stream = device->open_stream();
    device->copy(stream, made->memory.view(), source, host.bytes(), buffer.name.c_str());
    device->finish(device->record(stream));
    device->close_stream(stream);
    argument_bytes_ += host.bytes();
    resident = std::move(made);
  }
  return resident->memory.view();
}

std::vector<Tensor> LoadedGraph::run(std::span<const Tensor> arguments, std::span<const double> scalars) {
  std::lock_guard lock(mutex_);
  keep_unread_results();
  held_.clear();
  argument_bytes_ = 0;
  const Program& program = executable_->program();
  constexpr size_t stride = 64 / sizeof(double);  // arguments stand at multiples of 64 bytes
  if (scalars_.elements() != static_cast<int64_t>(scalars.size() * stride))
    scalars_ = HostTensor(DType::f64, {static_cast<int64_t>(scalars.size() * stride)});
  for (size_t i = 0; i < scalars.size(); ++i) scalars_.data<double>()[i * stride] = scalars[i];
  size_t next = 0;
  auto give = [&](const Tensor& tensor) {
    views_[next] = view_of_argument(tensor, program.buffers[program.arguments[next]]);
    ++next;
  };
  for (const Tensor& argument : arguments) give(argument);
  for (size_t i = 0; i < scalars.size(); ++i)
    views_[next++] = {host_, scalars_.data<double>().data() + i * stride, sizeof(double)};
  for (const Tensor& value : own_values_) give(value);
  PW_CHECK(next == views_.size(), "arguments of " + program.name);
  executable_->run(*context_, views_);
  ++runs_;

  std::vector<Tensor> results;
  results.reserve(program.results.size());
  for (size_t i = 0; i < program.results.size(); ++i) {
    const ProgramBuffer& buffer = program.buffers[program.results[i]];
    auto node = std::make_shared<Node>();
    node->kind = Node::Kind::value;
    node->serial = next_serial();
    node->results = {Type(buffer.dtype, Shape(buffer.sizes.begin(), buffer.sizes.end()))};
    node->device = buffer.device;
    if (buffer.device != host_->id()) node->device_reason = "computed there";
    node->pending = {shared_from_this(), static_cast<int>(i), runs_};
    unread_.push_back(node);
    results.emplace_back(std::move(node));
  }
  return results;
}

HostTensor LoadedGraph::read_result(int i, uint64_t run) {
  PW_CHECK(run == runs_, "a result was overwritten");
  return context_->read_result(i);
}

// The next run writes where these results stand: read those that somebody still holds.
void LoadedGraph::keep_unread_results() {
  for (const std::weak_ptr<Node>& each : unread_)
    if (NodePtr node = each.lock())
      if (node->host.empty()) {
        node->host = {context_->read_result(node->pending.index)};
        node->pending = {};
      }
  unread_.clear();
}

}  // namespace placewright::capture
