// Kernels for tests of the runtime, compiled to an object that is loaded as an image: the ABI of ir/kernel_image.h.
#include <cstddef>
#include <cstdint>

extern "C" {

void* memset(void*, int, size_t);
double pow(double, double);

// A symbol of its own kind (C's tentative definitions), which the loader must place and align.
extern int64_t common_counters[8];
asm(".comm common_counters,64,64");

// out[i] = a[i] + b[i]
void add_f32(void* const* buffers, const int64_t*, int64_t begin, int64_t end, uint64_t*) {
  const float* a = static_cast<const float*>(buffers[0]);
  const float* b = static_cast<const float*>(buffers[1]);
  float* out = static_cast<float*>(buffers[2]);
  for (int64_t i = begin; i < end; ++i) out[i] = a[i] + b[i];
}

// state[i] -= rate[0] * gradient[i], in place
void sgd_f32(void* const* buffers, const int64_t*, int64_t begin, int64_t end, uint64_t*) {
  const float* gradient = static_cast<const float*>(buffers[0]);
  const float* rate = static_cast<const float*>(buffers[1]);
  float* state = static_cast<float*>(buffers[2]);
  for (int64_t i = begin; i < end; ++i) state[i] -= rate[0] * gradient[i];
}

// Two phases: the workspace takes a[i] * scalar, then out[0] takes its sum.
void scale_to_workspace(void* const* buffers, const int64_t* scalars, int64_t begin, int64_t end, uint64_t*) {
  const float* a = static_cast<const float*>(buffers[0]);
  float* workspace = static_cast<float*>(buffers[2]);
  for (int64_t i = begin; i < end; ++i) workspace[i] = a[i] * static_cast<float>(scalars[0]);
}
void sum_workspace(void* const* buffers, const int64_t* scalars, int64_t, int64_t, uint64_t*) {
  const float* workspace = static_cast<const float*>(buffers[2]);
  float sum = 0;
  for (int64_t i = 0; i < scalars[1]; ++i) sum += workspace[i];
  *static_cast<float*>(buffers[1]) = sum;
}

// out[i] = table[index[i]], or the status "index out of range"
void gather_i64(void* const* buffers, const int64_t* scalars, int64_t begin, int64_t end, uint64_t* status) {
  const int64_t* table = static_cast<const int64_t*>(buffers[0]);
  const int64_t* index = static_cast<const int64_t*>(buffers[1]);
  int64_t* out = static_cast<int64_t*>(buffers[2]);
  for (int64_t i = begin; i < end; ++i) {
    bool inside = index[i] >= 0 && index[i] < scalars[0];
    if (!inside) __atomic_fetch_or(status, 1, __ATOMIC_RELAXED);
    out[i] = inside ? table[index[i]] : 0;
  }
}

// Writes one element too many: what redzones must find.
void overrun_f32(void* const* buffers, const int64_t*, int64_t begin, int64_t end, uint64_t*) {
  float* out = static_cast<float*>(buffers[0]);
  for (int64_t i = begin; i <= end; ++i) out[i] = 1;
}

// out[0] = out[0] < limit: a condition of loops; counter[0] += 1
void count_below(void* const* buffers, const int64_t* scalars, int64_t, int64_t, uint64_t*) {
  int64_t* counter = static_cast<int64_t*>(buffers[0]);
  counter[0] += 1;
  *static_cast<uint8_t*>(buffers[1]) = counter[0] < scalars[0];
}

// Constants, jump tables, imports, common symbols and addresses through the global offset table.
static double polynomial(double x) { return x * x * 3.25 + 0.125; }
double (*volatile indirect)(double) = polynomial;
int64_t counter_in_bss[16];
const char* const words[] = {"zero", "one", "two"};

void exercise_relocations(void* const* buffers, const int64_t* scalars, int64_t, int64_t, uint64_t*) {
  double* out = static_cast<double*>(buffers[0]);
  memset(out, 0, static_cast<size_t>(scalars[0]) * 8);
  out[0] = pow(2.0, static_cast<double>(scalars[1]));
  out[1] = indirect(2.0);
  out[2] = static_cast<double>(++common_counters[7]);
  out[3] = static_cast<double>(++counter_in_bss[3]);
  out[4] = words[scalars[2]][1];
  switch (scalars[1]) {
    case 0:
      out[5] = 17;
      break;
    case 1:
      out[5] = polynomial(out[0]);
      break;
    case 2:
      out[5] = 23 + out[1];
      break;
    case 3:
      out[5] = out[0] * 7;
      break;
    case 4:
      out[5] = -4;
      break;
    case 5:
      out[5] = out[2] + 100;
      break;
    default:
      out[5] = 0;
  }
}

}  // extern "C"
