// cuBLASLt and the driver as a program calls them, and the rig of their tests: a context, a stream, matrices.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

extern "C" {
struct LtAlgorithm {
  uint64_t data[8];
};
struct LtFound {
  LtAlgorithm algorithm;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};
size_t cublasLtGetVersion();
size_t cublasLtGetCudartVersion();
const char* cublasLtGetStatusName(int);
const char* cublasLtGetStatusString(int);
int cublasLtCreate(void**);
int cublasLtDestroy(void*);
int cublasLtMatmulDescCreate(void**, int compute_type, int scale_type);
int cublasLtMatmulDescDestroy(void*);
int cublasLtMatmulDescSetAttribute(void*, int attribute, const void*, size_t);
int cublasLtMatrixLayoutCreate(void**, int type, uint64_t rows, uint64_t columns, int64_t leading);
int cublasLtMatrixLayoutDestroy(void*);
int cublasLtMatrixLayoutSetAttribute(void*, int attribute, const void*, size_t);
int cublasLtMatmulPreferenceCreate(void**);
int cublasLtMatmulPreferenceDestroy(void*);
int cublasLtMatmulPreferenceSetAttribute(void*, int attribute, const void*, size_t);
int cublasLtMatmulAlgoGetHeuristic(void* handle, void* operation, void* a, void* b, void* c, void* d, void* preference,
                                   int requested, LtFound*, int* count);
int cublasLtMatmulAlgoCheck(void* handle, void* operation, void* a, void* b, void* c, void* d, const LtAlgorithm*,
                            LtFound*);
int cublasLtMatmul(void* handle, void* operation, const void* alpha, const void* a, void* a_layout, const void* b,
                   void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                   const LtAlgorithm*, void* workspace, size_t workspace_bytes, void* stream);

int cuInit(unsigned);
int cuGetErrorString(int, const char**);
int cuDevicePrimaryCtxRetain(void**, int device);
int cuDevicePrimaryCtxRelease_v2(int device);
int cuCtxSetCurrent(void*);
int cuMemAlloc_v2(uint64_t*, size_t);
int cuMemFree_v2(uint64_t);
int cuMemcpyHtoDAsync_v2(uint64_t, const void*, size_t, void* stream);
int cuMemcpyDtoHAsync_v2(void*, uint64_t, size_t, void* stream);
int cuMemcpyDtoDAsync_v2(uint64_t, uint64_t, size_t, void* stream);
int cuStreamCreate(void**, unsigned);
int cuStreamDestroy_v2(void*);
int cuStreamSynchronize(void*);
int cuEventCreate(void**, unsigned);
int cuEventDestroy_v2(void*);
int cuEventRecord(void*, void* stream);
int cuEventQuery(void*);
int cuEventSynchronize(void*);
int cuEventElapsedTime(float*, void*, void*);
int cuStreamWaitEvent(void* stream, void* event, unsigned);
int cuStreamBeginCapture_v2(void*, int mode);
int cuStreamEndCapture(void*, void** graph);
int cuStreamIsCapturing(void*, int*);
int cuGraphCreate(void**, unsigned);
int cuGraphDestroy(void*);
int cuGraphAddChildGraphNode(void** node, void* graph, void* const* after, size_t count, void* child);
int cuGraphInstantiateWithFlags(void** made, void* graph, unsigned long long);
int cuGraphExecChildGraphNodeSetParams(void* made, void* node, void* child);
int cuGraphLaunch(void* made, void* stream);
int cuGraphExecDestroy(void*);
int cuModuleLoadDataEx(void**, const void*, unsigned, int*, void**);
int cuModuleUnload(void*);
int cuModuleGetFunction(void**, void*, const char*);
int cuLaunchKernel(void* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared,
                   void* stream, void** parameters, void**);
int cuMemHostAlloc(void**, size_t, unsigned);
int cuMemFreeHost(void*);
int cuMemcpyPeerAsync(uint64_t, void*, uint64_t, void*, size_t, void* stream);
}

namespace cuda_emulator {

// A variable of the environment as long as this is.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Environment() { unsetenv(name_); }

 private:
  const char* name_;
};

class OnDevice : public ::testing::Test {
 protected:
  OnDevice() {
    EXPECT_EQ(cuInit(0), 0);
    EXPECT_EQ(cuDevicePrimaryCtxRetain(&context_, 0), 0);
    cuCtxSetCurrent(context_);
    EXPECT_EQ(cuStreamCreate(&stream_, 1), 0);
  }
  ~OnDevice() override { EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), 0); }

  uint64_t allocate(size_t bytes) {
    uint64_t address = 0;
    EXPECT_EQ(cuMemAlloc_v2(&address, bytes), 0);
    return address;
  }
  template <class T>
  uint64_t upload(const std::vector<T>& values) {
    uint64_t address = allocate(values.size() * sizeof(T));
    EXPECT_EQ(cuMemcpyHtoDAsync_v2(address, values.data(), values.size() * sizeof(T), stream_), 0);
    EXPECT_EQ(cuStreamSynchronize(stream_), 0);
    return address;
  }
  template <class T>
  std::vector<T> download(uint64_t address, size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cuMemcpyDtoHAsync_v2(values.data(), address, count * sizeof(T), stream_), 0);
    EXPECT_EQ(cuStreamSynchronize(stream_), 0);
    return values;
  }

  void* context_ = nullptr;
  void* stream_ = nullptr;
};

constexpr int lt_f32 = 0, lt_f64 = 1;
constexpr int lt_compute_f32 = 68, lt_compute_f64 = 70, lt_compute_bf16 = 75, lt_compute_tf32 = 77;
constexpr int lt_not_initialised = 1, lt_invalid = 7, lt_failed = 13, lt_unsupported = 15;

struct MatrixShape {
  uint64_t rows = 1, columns = 1;
  int64_t leading = 0;  // 0: as small as may be
  int32_t order = 0;    // 1: rows
  int32_t batches = 1;
  int64_t batch_stride = 0;

  int64_t shortest() const { return static_cast<int64_t>(order == 0 ? rows : columns); }
  int64_t step() const { return leading == 0 ? shortest() : leading; }
  size_t place(uint64_t row, uint64_t column, uint64_t batch) const {
    const uint64_t line = order == 0 ? column : row, in_line = order == 0 ? row : column;
    return batch * static_cast<size_t>(batch_stride) + line * static_cast<size_t>(step()) + in_line;
  }
  size_t elements() const { return place(rows - 1, columns - 1, static_cast<uint64_t>(batches) - 1) + 1; }
};

// A product as a program describes it.
struct ProductCase {
  int compute = lt_compute_f32;
  MatrixShape a, b, d;
  std::optional<MatrixShape> c;  // else as d
  int32_t transpose_a = 0, transpose_b = 0;
  double alpha = 1, beta = 0;
  uint32_t epilogue = 1;
  int64_t bias_stride = 0;
  uint64_t most_workspace = 1 << 20;
  uint32_t alignment = 4;

  bool is_f64() const { return compute == lt_compute_f64; }
  MatrixShape shape_of_c() const { return c ? *c : d; }
};

// m x n of depth k, without gaps.
inline ProductCase product(uint64_t m, uint64_t n, uint64_t k) {
  ProductCase made;
  made.a.rows = made.d.rows = m;
  made.b.columns = made.d.columns = n;
  made.a.columns = made.b.rows = k;
  return made;
}

// Descriptors of a product, as long as they are needed.
class Described {
 public:
  explicit Described(const ProductCase& wanted, uint64_t bias = 0) {
    const int type = wanted.is_f64() ? lt_f64 : lt_f32;
    EXPECT_EQ(cublasLtMatmulDescCreate(&operation, wanted.compute, type), 0);
    set_operation(3, wanted.transpose_a);
    set_operation(4, wanted.transpose_b);
    set_operation(7, wanted.epilogue);
    if (bias) set_operation(8, bias);
    set_operation(10, wanted.bias_stride);
    const MatrixShape shapes[] = {wanted.a, wanted.b, wanted.shape_of_c(), wanted.d};
    for (int i = 0; i < 4; ++i) {
      const MatrixShape& shape = shapes[i];
      EXPECT_EQ(cublasLtMatrixLayoutCreate(&layouts[i], type, shape.rows, shape.columns, shape.step()), 0);
      set_layout(i, 1, shape.order);
      set_layout(i, 5, shape.batches);
      set_layout(i, 6, shape.batch_stride);
    }
    EXPECT_EQ(cublasLtMatmulPreferenceCreate(&preference), 0);
    EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(preference, 1, &wanted.most_workspace, 8), 0);
    const uint32_t alignment = wanted.is_f64() ? std::max(wanted.alignment, 8u) : wanted.alignment;
    for (int i = 5; i <= 8; ++i) EXPECT_EQ(cublasLtMatmulPreferenceSetAttribute(preference, i, &alignment, 4), 0);
  }
  ~Described() {
    cublasLtMatmulDescDestroy(operation);
    for (void* layout : layouts) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulPreferenceDestroy(preference);
  }
  Described(const Described&) = delete;
  Described& operator=(const Described&) = delete;

  template <class T>
  void set_operation(int attribute, T value) {
    EXPECT_EQ(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), 0);
  }
  template <class T>
  void set_layout(int which, int attribute, T value) {
    EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(layouts[which], attribute, &value, sizeof value), 0);
  }
  int find(void* handle, std::vector<LtFound>* found, int most = 16) const {
    int count = -1;
    found->assign(static_cast<size_t>(most), {});
    const int status = cublasLtMatmulAlgoGetHeuristic(handle, operation, layouts[0], layouts[1], layouts[2], layouts[3],
                                                      preference, most, found->data(), &count);
    found->resize(static_cast<size_t>(std::max(count, 0)));
    return status;
  }

  void* operation = nullptr;
  void* layouts[4] = {};
  void* preference = nullptr;
};

}  // namespace cuda_emulator
