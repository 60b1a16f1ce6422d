// Which values have to be copied between devices, given where each op runs: the one rule, read by the plan's ledger and
// by insert_transfers. Internal to passes.
#pragma once

#include <string>
#include <vector>

#include "placewright/passes/pass.h"

namespace placewright {

struct Movement {
  Value value;
  int32_t reader = -1;  // the first op that reads it on `to`; -1: the update of a state there
  DeviceId from, to;
  bool at_load = false;
  bool by_user = false;  // the reader is a transfer that the user wrote
};

// Where a value is, given the places of the ops: an all_reduce has results on several devices, which its types name.
const Where& place_of(const Function& function, const std::vector<Where>& places, Value value);

// For the ledger: who wants the copy.
std::string reason(const Function& function, const Movement& movement);

// `places`: one for each op of the function, each on one device. In the order of the readers, updates last.
std::vector<Movement> find_movements(const Function& function, const std::vector<Where>& places);

// The device whose memory is the host's.
DeviceId host_device(const PassContext& context);

// Whether an op gives the same on every device from nothing but compile-time data: it is then made again on each device
// that reads it, never copied. One flag for each op.
std::vector<bool> find_replicable(const Function& function);

// Whether a value is the same in all steps because it comes from constants alone: it is then copied at load.
std::vector<bool> find_fixed(const Function& function);

}  // namespace placewright
