// Stands in for libraries of a CUDA toolkit: says which version it was made with, and nothing else.
#include <cstddef>

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT size_t cublasLtGetCudartVersion() { return PLACEWRIGHT_STAND_IN_VERSION; }
EXPORT size_t cudnnGetCudartVersion() { return PLACEWRIGHT_STAND_IN_VERSION; }
