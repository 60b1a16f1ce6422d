// How near two spellings are.
#pragma once

#include <cstddef>
#include <string>

namespace placewright::tools {

// How many letters have to change to get from one text to the other.
size_t distance(const std::string& a, const std::string& b);

}  // namespace placewright::tools
