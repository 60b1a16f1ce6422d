#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> elementwise() { return {}; }

}  // namespace placewright::ops
