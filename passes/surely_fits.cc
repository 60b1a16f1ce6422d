#include "surely_fits.h"

#include <map>

#include "placewright/base/checked.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/op_table.h"

namespace placewright {

namespace {

bool is_placed(const Function& function) {
  for (const Op& op : function.ops)
    for (const Type& type : op.results)
      if (type.tensor().where.devices.empty()) return false;
  return true;
}

}  // namespace

// A device holds each value at most once, three times what results do, and workspaces for parts of launches; what
// composites become may be much larger than they are.
bool surely_fits(const Graph& graph, const PassContext& context) {
  constexpr int64_t room_for_each = 8, room_with_composites = 256;
  if (!context.machine) return true;
  std::map<DeviceId, int64_t> bytes;
  int64_t anywhere = 0;  // of what may be on any, and inside of launches
  bool has_composites = false;
  const bool has_places = is_placed(graph.main());
  for (const Function& function : graph.functions)
    for (const Op& op : function.ops) {
      has_composites = has_composites || op.entry->realised_as<Decompose>();
      for (const Type& type : op.results) {
        const TensorType& tensor = type.tensor();
        if (!has_places || tensor.where.devices.empty()) {
          anywhere = checked_add(anywhere, tensor.bytes());
          continue;
        }
        for (const DeviceId& device : tensor.where.devices) bytes[device] = checked_add(bytes[device], tensor.bytes());
      }
    }
  const int64_t room = has_composites ? room_with_composites : room_for_each;
  for (const DeviceSpec& spec : context.machine->devices)
    if (spec.memory_bytes > 0 && checked_add(bytes[spec.id], anywhere) > spec.memory_bytes / room) return false;
  return true;
}

}  // namespace placewright
