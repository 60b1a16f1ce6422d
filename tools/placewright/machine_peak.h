// The limits of the machine that measurements are held against, measured in the same run.
#pragma once

namespace placewright::tools {

// Floating-point operations a second of one thread in f32 fused multiply-add, in the widest vectors of this processor:
// the best of `rounds` rounds of some milliseconds.
double measure_fma_peak(int rounds = 20);

// Bytes a second of one thread that reads two arrays and writes a third, each far larger than the caches (the triad of
// STREAM; the lines that the write allocates are not counted).
double measure_bandwidth(int rounds = 5);

}  // namespace placewright::tools
