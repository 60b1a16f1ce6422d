// The kernels of kernels.cc for GPUs: kernels.ptx is what NVRTC 13.0 makes of this with
// --gpu-architecture=compute_75 --std=c++17. One thread an element.
extern "C" {

__global__ void add_f32(const float* a, const float* b, float* out, unsigned long long*) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = a[i] + b[i];
}

__global__ void sgd_f32(const float* gradient, const float* rate, float* state, unsigned long long*) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  state[i] -= rate[0] * gradient[i];
}

// Two phases with a workspace.
__global__ void scale_to_workspace(const float* a, float*, float* workspace, unsigned long long*, long long factor,
                                   long long) {
  workspace[threadIdx.x] = a[threadIdx.x] * static_cast<float>(factor);
}
__global__ void sum_workspace(const float*, float* out, const float* workspace, unsigned long long*, long long,
                              long long count) {
  float sum = 0;
  for (long long i = 0; i < count; ++i) sum += workspace[i];
  *out = sum;
}

__global__ void gather_i64(const long long* table, const long long* index, long long* out, unsigned long long* status,
                           long long size) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  bool inside = index[i] >= 0 && index[i] < size;
  if (!inside) atomicOr(status, 1ull);
  out[i] = inside ? table[index[i]] : 0;
}

// Writes one element too many: what redzones must find.
__global__ void overrun_f32(float* out, unsigned long long*) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i + 1] = 1;
  out[i] = 1;
}
}
