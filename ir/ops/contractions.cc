#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> contractions() { return {}; }

}  // namespace placewright::ops
