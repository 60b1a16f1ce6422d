// What every kernel's text begins with: scalar operations as ir/kernel.h defines them, memory access in 16 bytes, and
// what lanes exchange. Needs no header of a toolkit.
#pragma once

#include <string_view>

namespace placewright {

std::string_view cuda_prelude();

}  // namespace placewright
