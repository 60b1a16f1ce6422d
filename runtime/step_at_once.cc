// Gives a step to its device as a whole, where the program's block is launches and copies of one device alone: what
// waits for what is then known beforehand, and a device that can (Device::prepare) is asked once a step instead of once
// a kernel.
#include <algorithm>
#include <set>

#include <fmt/core.h>

#include "bound_program.h"

namespace placewright {

std::string Executable::Body::find_why_piecewise() const {
  const Block& block = program().blocks[static_cast<size_t>(program().step)];
  if (std::any_of(block.instructions.begin(), block.instructions.end(),
                  [](const Instruction& instruction) { return std::holds_alternative<Collective>(instruction); }))
    return "it sums over several devices";  // and allocates for that
  std::vector<std::string> devices;
  std::set<int> fetched;  // memory of the host that was copied to
  for (const Instruction& instruction : block.instructions) {
    const Launch* launch = std::get_if<Launch>(&instruction);
    const Copy* copy = std::get_if<Copy>(&instruction);
    if (std::holds_alternative<Wait>(instruction)) continue;
    if (std::holds_alternative<Allocate>(instruction)) return "it allocates memory as it runs";
    if (!launch && !copy) return "it has branches, loops or calls";
    const DeviceId& device = program().streams[static_cast<size_t>(launch ? launch->stream : copy->stream)].device;
    if (std::find(devices.begin(), devices.end(), device.to_string()) == devices.end())
      devices.push_back(device.to_string());
    if (!copy) continue;
    if (copy->source < 0) return "it loads what only binding has";
    // A source on the host is read before the first item runs.
    if (fetched.contains(memory_of(program(), copy->source)))
      return fmt::format("it copies {} to the host and from there again", copy->facts.value);
    if (buffer_devices[static_cast<size_t>(copy->destination)]->is_host_memory())
      fetched.insert(memory_of(program(), copy->destination));
    for (int buffer : {copy->source, copy->destination}) {
      const std::shared_ptr<Device>& end = buffer_devices[static_cast<size_t>(buffer)];
      if (!end->is_host_memory() && end->id() != device)
        return fmt::format("it copies between {} and {}", device.to_string(), end->id().to_string());
    }
  }
  if (devices.empty()) return "it has neither launches nor copies";
  if (devices.size() > 1) return fmt::format("it works on {} and {}", devices[0], devices[1]);
  return "";
}

// Of a stream, the next item is behind the last one and behind what was waited for since.
std::unique_ptr<StepItems> Context::Body::make_step_items() {
  auto made = std::make_unique<StepItems>();
  const std::vector<BoundInstruction>& block = bound->blocks[static_cast<size_t>(bound->program().step)];
  std::vector<std::set<int>> behind(streams.size());
  std::vector<int> item_of(block.size(), -1);
  made->copies.reserve(block.size());  // items point to them
  for (size_t i = 0; i < block.size(); ++i) {
    if (const Wait* wait = std::get_if<Wait>(block[i].instruction)) {
      int item = item_of[static_cast<size_t>(wait->instruction)];
      if (item >= 0) behind[static_cast<size_t>(wait->stream)].insert(item);
      continue;
    }
    WorkItem item;
    const Launch* launch = std::get_if<Launch>(block[i].instruction);
    const Copy* copy = std::get_if<Copy>(block[i].instruction);
    const int stream = launch ? launch->stream : copy->stream;
    if (launch) {
      item.launch = &launches[static_cast<size_t>(block[i].launch)];
    } else {
      BufferView to = view(copy->destination), from = view(copy->source);
      if (to.device != from.device) made->transfers.bytes += to.bytes, ++made->transfers.copies;
      made->copies.push_back({to, from, to.bytes, block[i].name.c_str()});
      made->copied.push_back(copy);
      item.copy = &made->copies.back();
    }
    std::set<int>& before = behind[static_cast<size_t>(stream)];
    item.after.assign(before.begin(), before.end());
    item_of[i] = static_cast<int>(made->items.size());
    before = {item_of[i]};
    made->items.push_back(std::move(item));
    made->stream = stream;
  }
  made->device = stream_devices[static_cast<size_t>(made->stream)];
  return made;
}

// The first step goes piece by piece: what runs once is not worth preparing. False: this one is to go so as well.
bool Context::Body::run_at_once() {
  if (!steps.why_piecewise.empty() || steps.at_once + steps.piecewise == 0) {
    ++steps.piecewise;
    return false;
  }
  if (!whole_step) {
    std::unique_ptr<StepItems> made = make_step_items();
    made->prepared = made->device->prepare(made->items, &steps.why_piecewise);
    if (!made->prepared) {
      ++steps.piecewise;
      return false;
    }
    whole_step = std::move(made);
  }
  for (size_t i = 0; i < whole_step->copies.size(); ++i) {
    whole_step->copies[i].destination.address = address(whole_step->copied[i]->destination);
    whole_step->copies[i].source.address = address(whole_step->copied[i]->source);
  }
  try {
    if (!whole_step->device->run(streams[static_cast<size_t>(whole_step->stream)], *whole_step->prepared,
                                 &steps.why_piecewise)) {
      whole_step.reset();
      ++steps.piecewise;
      return false;
    }
  } catch (const Error& error) {
    steps.why_piecewise = error.what();
    whole_step.reset();
    throw;
  }
  transfers.bytes += whole_step->transfers.bytes;
  transfers.copies += whole_step->transfers.copies;
  ++steps.at_once;
  return true;
}

}  // namespace placewright
