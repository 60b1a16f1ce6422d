// A compiled program as bytes, for the cache: program text, kernel images, constants, and what was decided on the way.
// Reading checks everything.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "placewright/ir/program.h"

namespace placewright {

struct KeptProgram {
  CompiledProgram compiled;
  std::vector<std::string> conflicts;  // transfers that nobody asked for, one line each
  int64_t planned_step_bytes = 0;      // between devices
};

std::vector<uint8_t> to_bytes(const KeptProgram& kept);
// Nothing if the bytes are damaged or of another version.
std::optional<KeptProgram> try_from_bytes(std::span<const uint8_t> bytes);

}  // namespace placewright
