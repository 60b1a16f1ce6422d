#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> composites() { return {}; }

}  // namespace placewright::ops
