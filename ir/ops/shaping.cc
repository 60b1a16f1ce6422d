#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> shaping() { return {}; }

}  // namespace placewright::ops
