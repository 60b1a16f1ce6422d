// Stands in for libraries of a CUDA toolkit: says which version it was made with, and what its compiler knows, and does
// nothing else.
#include <algorithm>
#include <cstddef>
#include <iterator>

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT size_t cublasLtGetCudartVersion() { return PLACEWRIGHT_STAND_IN_VERSION; }
EXPORT size_t cudnnGetCudartVersion() { return PLACEWRIGHT_STAND_IN_VERSION; }

namespace {
constexpr int architectures[] = {75, 80, 90};
constexpr int internal_error = 11;
}  // namespace

EXPORT int nvrtcVersion(int* major, int* minor) {
  *major = PLACEWRIGHT_STAND_IN_VERSION / 1000;
  *minor = PLACEWRIGHT_STAND_IN_VERSION % 1000 / 10;
  return 0;
}
EXPORT int nvrtcGetNumSupportedArchs(int* count) {
  *count = static_cast<int>(std::size(architectures));
  return 0;
}
EXPORT int nvrtcGetSupportedArchs(int* found) {
  std::copy(std::begin(architectures), std::end(architectures), found);
  return 0;
}
EXPORT const char* nvrtcGetErrorString(int) { return "a stand-in compiles nothing"; }
EXPORT int nvrtcCreateProgram(void**, const char*, const char*, int, const char* const*, const char* const*) {
  return internal_error;
}
EXPORT int nvrtcDestroyProgram(void**) { return internal_error; }
EXPORT int nvrtcCompileProgram(void*, int, const char* const*) { return internal_error; }
EXPORT int nvrtcGetProgramLogSize(void*, size_t*) { return internal_error; }
EXPORT int nvrtcGetProgramLog(void*, char*) { return internal_error; }
EXPORT int nvrtcGetPTXSize(void*, size_t*) { return internal_error; }
EXPORT int nvrtcGetPTX(void*, char*) { return internal_error; }
EXPORT int nvrtcGetCUBINSize(void*, size_t*) { return internal_error; }
EXPORT int nvrtcGetCUBIN(void*, char*) { return internal_error; }
