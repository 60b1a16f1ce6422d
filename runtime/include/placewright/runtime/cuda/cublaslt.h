// NVIDIA's library of matrix products as a table of functions, opened on first need: nothing of it is linked, and no
// header of a toolkit is needed. Prototypes and numbers are those of cublasLt.h and cublas_api.h of CUDA 12 and 13.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "placewright/base/shared_library.h"
#include "placewright/runtime/cuda/driver.h"

namespace placewright::cuda {

using LtStatus = int;  // 0: success
struct LtHandleObject;
struct LtOperationObject;   // cublasLtMatmulDesc_t
struct LtLayoutObject;      // cublasLtMatrixLayout_t
struct LtPreferenceObject;  // cublasLtMatmulPreference_t

// What is chosen: of one version of the library, and only for equal products.
struct LtAlgorithm {
  uint64_t data[8] = {};
};
// cublasLtMatmulHeuristicResult_t
struct LtCandidate {
  LtAlgorithm algorithm;
  size_t workspace_bytes = 0;
  LtStatus state = 0;
  float waves = 0;
  int reserved[4] = {};
};
static_assert(sizeof(LtCandidate) == 96);

// name in the table, exported name, parameters
#define PLACEWRIGHT_CUBLASLT(X)                                                                                    \
  X(create, "cublasLtCreate", (LtHandleObject * *handle))                                                          \
  X(destroy, "cublasLtDestroy", (LtHandleObject * handle))                                                         \
  X(operation_create, "cublasLtMatmulDescCreate", (LtOperationObject * *made, int compute_type, int scale_type))   \
  X(operation_destroy, "cublasLtMatmulDescDestroy", (LtOperationObject * operation))                               \
  X(operation_set, "cublasLtMatmulDescSetAttribute",                                                               \
    (LtOperationObject * operation, int attribute, const void* value, size_t bytes))                               \
  X(layout_create, "cublasLtMatrixLayoutCreate",                                                                   \
    (LtLayoutObject * *made, int type, uint64_t rows, uint64_t columns, int64_t leading))                          \
  X(layout_destroy, "cublasLtMatrixLayoutDestroy", (LtLayoutObject * layout))                                      \
  X(layout_set, "cublasLtMatrixLayoutSetAttribute",                                                                \
    (LtLayoutObject * layout, int attribute, const void* value, size_t bytes))                                     \
  X(preference_create, "cublasLtMatmulPreferenceCreate", (LtPreferenceObject * *made))                             \
  X(preference_destroy, "cublasLtMatmulPreferenceDestroy", (LtPreferenceObject * preference))                      \
  X(preference_set, "cublasLtMatmulPreferenceSetAttribute",                                                        \
    (LtPreferenceObject * preference, int attribute, const void* value, size_t bytes))                             \
  X(find_algorithms, "cublasLtMatmulAlgoGetHeuristic",                                                             \
    (LtHandleObject * handle, LtOperationObject * operation, LtLayoutObject * a, LtLayoutObject * b,               \
     LtLayoutObject * c, LtLayoutObject * d, LtPreferenceObject * preference, int wanted, LtCandidate* candidates, \
     int* found))                                                                                                  \
  X(check_algorithm, "cublasLtMatmulAlgoCheck",                                                                    \
    (LtHandleObject * handle, LtOperationObject * operation, LtLayoutObject * a, LtLayoutObject * b,               \
     LtLayoutObject * c, LtLayoutObject * d, const LtAlgorithm* algorithm, LtCandidate* found))                    \
  X(multiply, "cublasLtMatmul",                                                                                    \
    (LtHandleObject * handle, LtOperationObject * operation, const void* alpha, const void* a, LtLayoutObject* la, \
     const void* b, LtLayoutObject* lb, const void* beta, const void* c, LtLayoutObject* lc, void* d,              \
     LtLayoutObject* ld, const LtAlgorithm* algorithm, void* workspace, size_t workspace_bytes, StreamObject* stream))

// Numbers of the header.
constexpr int lt_type_f32 = 0, lt_type_f64 = 1;                           // CUDA_R_32F, CUDA_R_64F
constexpr int lt_compute_f32 = 68, lt_compute_f64 = 70;                   // CUBLAS_COMPUTE_32F, _64F
constexpr int lt_compute_bf16 = 75, lt_compute_tf32 = 77;                 // CUBLAS_COMPUTE_32F_FAST_16BF, _FAST_TF32
constexpr int lt_transpose_a = 3, lt_transpose_b = 4;                     // of an operation: 0 no, 1 yes
constexpr int lt_epilogue = 7, lt_bias_pointer = 8;                       // of an operation
constexpr unsigned lt_plain = 1, lt_relu = 2, lt_bias = 4, lt_gelu = 32;  // epilogues: bias is added to the others
constexpr int lt_batch_count = 5, lt_batch_offset = 6;                    // of a layout
constexpr int lt_most_workspace = 1;                                      // of a preference
constexpr int lt_alignment_a = 5, lt_alignment_d = 8;                     // of a preference: a, b, c, d

class CublasLt {
 public:
  // What its files are called, in order of preference. One of a later major than the driver's opens, and then refuses
  // to work.
  static std::vector<std::string> names(int driver_major);
  // Looks where PLACEWRIGHT_LIBCUBLASLT says (a file or a folder, alone), then where the loader does, then in the
  // folders. A driver that stands in for NVIDIA's takes only a library that does so too, named by that variable. Null
  // if there is none of CUDA 12 or 13; `reasons` gets a line for each thing tried.
  static std::shared_ptr<const CublasLt> try_open(const Driver& driver,
                                                  const std::vector<std::filesystem::path>& folders,
                                                  std::vector<std::string>* reasons);

#define PLACEWRIGHT_MEMBER(name, symbol, parameters) LtStatus(*name) parameters = nullptr;
  PLACEWRIGHT_CUBLASLT(PLACEWRIGHT_MEMBER)
#undef PLACEWRIGHT_MEMBER

  const std::string& path() const { return library_.path(); }
  const std::string& name() const { return name_; }  // "cuBLASLt 13.1.0"
  std::string describe(LtStatus status) const;

 private:
  explicit CublasLt(SharedLibrary library) : library_(std::move(library)) {}
  SharedLibrary library_;
  std::string name_;
  const char* (*status_name_)(int) = nullptr;
  const char* (*status_string_)(int) = nullptr;
};

}  // namespace placewright::cuda
