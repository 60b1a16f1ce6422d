// A compiled program as bytes, for the cache: program text, kernel images, constants. Reading checks everything.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "placewright/ir/program.h"

namespace placewright {

std::vector<uint8_t> to_bytes(const CompiledProgram& compiled);
// Nothing if the bytes are damaged or of another version.
std::optional<CompiledProgram> try_from_bytes(std::span<const uint8_t> bytes);

}  // namespace placewright
