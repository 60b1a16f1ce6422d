// A CPU as data: what strategies and emitter must know of it.
#pragma once

#include <cstdint>
#include <string>

namespace placewright {

struct CpuTarget {
  std::string triple = "x86_64-unknown-linux-gnu";
  std::string features;  // LLVM's list: "+avx2,+fma"
  int vector_bits = 128;
  int vector_registers = 16;
  bool has_fma = false;
  int64_t l1_bytes = 32 << 10;  // data, per core
  int64_t l2_bytes = 256 << 10;
  int64_t l3_bytes = 4 << 20;
  double fma_per_cycle = 1;  // vector instructions
  friend bool operator==(const CpuTarget&, const CpuTarget&) = default;
};

// The machine that this process runs on. A pure look at CPUID and the cache topology; measures nothing.
CpuTarget host_cpu_target();
// x86-64-v2, x86-64-v3 (AVX2, FMA) or x86-64-v4 (AVX-512); Error for another name.
CpuTarget named_cpu_target(const std::string& level);
// The highest of these levels that a device's target promises: "x86-64+avx+avx2+fma" and the like.
std::string cpu_level(const std::string& target);

}  // namespace placewright
