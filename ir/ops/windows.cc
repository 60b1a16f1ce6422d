#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> windows() { return {}; }

}  // namespace placewright::ops
