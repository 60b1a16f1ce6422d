#include "placewright/codegen/cpu_target.h"

#include <unistd.h>

#include "placewright/base/error.h"

namespace placewright {
namespace {

constexpr const char* v2 = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16";
constexpr const char* v3 = ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe";
constexpr const char* v4 = ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+evex512";

}  // namespace

CpuTarget named_cpu_target(const std::string& level) {
  CpuTarget target;
  target.features = v2;
  if (level == "x86-64-v2") return target;
  target.features += v3;
  target.vector_bits = 256;
  target.has_fma = true;
  target.fma_per_cycle = 2;
  if (level == "x86-64-v3") return target;
  target.features += v4;
  target.vector_bits = 512;
  target.vector_registers = 32;
  if (level == "x86-64-v4") return target;
  throw Error("found CPU level '" + level + "', expected x86-64-v2, x86-64-v3 or x86-64-v4");
}

std::string cpu_level(const std::string& target) {
  auto has = [&, named = target + "+"](const char* feature) {
    return named.find(std::string("+") + feature + "+") != std::string::npos;
  };
  if (!has("avx2") || !has("fma")) return "x86-64-v2";
  const bool is_v4 = has("avx512f") && has("avx512bw") && has("avx512cd") && has("avx512dq") && has("avx512vl");
  return is_v4 ? "x86-64-v4" : "x86-64-v3";
}

CpuTarget host_cpu_target() {
  __builtin_cpu_init();
  bool has_v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
  bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  CpuTarget target = named_cpu_target(has_v4 ? "x86-64-v4" : has_v3 ? "x86-64-v3" : "x86-64-v2");
  auto ask = [](int name, int64_t& bytes) {
    if (long found = sysconf(name); found > 0) bytes = found;
  };
  ask(_SC_LEVEL1_DCACHE_SIZE, target.l1_bytes);
  ask(_SC_LEVEL2_CACHE_SIZE, target.l2_bytes);
  ask(_SC_LEVEL3_CACHE_SIZE, target.l3_bytes);
  return target;
}

}  // namespace placewright
