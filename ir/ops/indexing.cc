#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> indexing() { return {}; }

}  // namespace placewright::ops
