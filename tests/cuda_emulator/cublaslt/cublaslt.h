// cuBLASLt as the emulator stands for it: a part of the C interface of <cublasLt.h>. Values and sizes are those of
// cublasLt.h and cublas_api.h of cuBLAS 13.1 (CUDA 13.0): cublasLtMatmulAlgo_t is uint64_t data[8],
// cublasLtMatmulHeuristicResult_t {algo; size_t workspaceSize; cublasStatus_t state; float wavesCount; int
// reserved[4]}. What a value of an attribute must be is known when a product is asked for: as the real one, setting it
// takes any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cublaslt_emulator {

enum Status {
  success = 0,
  not_initialised = 1,
  allocation_failed = 3,
  invalid_value = 7,
  architecture_mismatch = 8,
  mapping_error = 11,
  execution_failed = 13,
  internal_error = 14,
  not_supported = 15,
  license_error = 16
};

// cudaDataType
constexpr int type_f32 = 0, type_f64 = 1;

// cublasComputeType_t
constexpr int compute_f32 = 68, compute_f32_pedantic = 69, compute_f64 = 70, compute_f64_pedantic = 71,
              compute_bf16 = 75, compute_tf32 = 77;

// cublasLtEpilogue_t
constexpr uint32_t epilogue_default = 1, epilogue_relu = 2, epilogue_bias = 4, epilogue_gelu = 32;

// cublasLtMatmulDescAttributes_t, with their defaults.
struct Operation {
  int32_t compute_type = 0;  // 0
  int32_t scale_type = 0;    // 1
  int32_t pointer_mode = 0;  // 2: CUBLASLT_POINTER_MODE_HOST
  int32_t transpose_a = 0;   // 3: CUBLAS_OP_N
  int32_t transpose_b = 0;   // 4
  int32_t transpose_c = 0;   // 5
  int32_t fill_mode = 2;     // 6: CUBLAS_FILL_MODE_FULL
  uint32_t epilogue = 1;     // 7: CUBLASLT_EPILOGUE_DEFAULT
  uint64_t bias = 0;         // 8
  int64_t bias_stride = 0;   // 10
  int32_t bias_type = -1;    // 26: as D's
};

// cublasLtMatrixLayoutAttribute_t
struct Layout {
  uint32_t type = 0;         // 0
  int32_t order = 0;         // 1: CUBLASLT_ORDER_COL; CUBLASLT_ORDER_ROW is 1
  uint64_t rows = 0;         // 2
  uint64_t columns = 0;      // 3
  int64_t leading = 0;       // 4
  int32_t batches = 1;       // 5
  int64_t batch_stride = 0;  // 6
};

// cublasLtMatmulPreferenceAttributes_t
struct Preference {
  uint32_t search_mode = 0;                       // 0: CUBLASLT_SEARCH_BEST_FIT
  uint64_t most_workspace = 0;                    // 1
  uint32_t reductions = 7;                        // 3: CUBLASLT_REDUCTION_SCHEME_MASK
  uint32_t alignments[4] = {256, 256, 256, 256};  // 5 to 8: of A, B, C, D
};

struct Algorithm {
  uint64_t data[8];
};

struct Found {
  Algorithm algorithm;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Algorithm) == 64 && sizeof(Found) == 96);

// What a product is but for addresses: checked, and the same for equal calls.
struct Problem {
  bool is_f64 = false;
  int rounding = 0;  // mantissa bits of f32 that factors lose
  uint64_t rows = 0, columns = 0, depth = 0, batches = 1;
  Operation operation;
  Layout a, b, c, d;
  size_t element_bytes() const { return is_f64 ? 8 : 4; }
  uint64_t hash() const;
};

// 0, or what is wrong with them in `why`.
Status make_problem(const Operation& operation, const Layout& a, const Layout& b, const Layout& c, const Layout& d,
                    Problem* problem, std::string* why);

// How many elements of memory a matrix spans.
uint64_t span_of(const Layout& layout);

}  // namespace cublaslt_emulator
