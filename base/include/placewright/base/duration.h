// Times as the planner counts them and as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace placewright {

// To the nearest; at most 2^50 (thirteen days), which the planner takes for never.
int64_t nanoseconds(double seconds);
std::string duration_text(double seconds);  // "12.3 us"

}  // namespace placewright
