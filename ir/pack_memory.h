// Offsets for buffers that live for a while each, in one piece of memory. Internal to ir.
#pragma once

#include <cstdint>
#include <vector>

namespace placewright {

struct PackedBuffer {
  int64_t bytes = 0;
  int32_t first = 0, last = 0;  // it has its bytes to itself from `first` to `last`, both included
  // And better from `calm_first` to `calm_last`: what shares its bytes with another then has to wait.
  int32_t calm_first = 0, calm_last = 0;
  int64_t offset = 0;
};

// Sets the offsets, all multiples of `alignment`; returns the bytes needed. That anything has to wait for longer than
// its own life is avoided where it costs no memory, of at most 2,048 buffers.
int64_t pack_memory(std::vector<PackedBuffer>& buffers, int64_t alignment);

}  // namespace placewright
