// Origins are merged into others, and these into more: an op that many launches compute is in the origin of each.
#pragma once

#include <vector>

#include "placewright/ir/origin.h"

namespace placewright {

// The origin and all that were merged into it, or into what was: itself first, the others by their ids.
std::vector<OriginId> merged_origins(const OriginTable& origins, OriginId id);

}  // namespace placewright
