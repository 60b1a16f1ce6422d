#include "families.h"

namespace placewright::ops {

std::vector<OpEntry> random() { return {}; }

}  // namespace placewright::ops
