// Products of the emulator's cuBLASLt, each by every algorithm that it offers, against three loops.
#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>

#include "cublaslt_calls.h"

namespace cuda_emulator {
namespace {

using ::testing::HasSubstr;

template <class T>
std::vector<T> numbers(size_t count, uint32_t seed) {
  std::vector<T> made(count);
  for (T& value : made) {
    seed = seed * 1664525 + 1013904223;
    value = static_cast<T>(static_cast<double>(seed >> 8) / (1 << 23) - 1);
  }
  return made;
}

// To so many bits behind the leading one.
double rounded(double value, int bits) {
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  return std::ldexp(std::round(std::ldexp(mantissa, bits + 1)), exponent - bits - 1);
}

double expected_epilogue(uint32_t epilogue, double x) {
  switch (epilogue & ~4u) {
    case 2:
      return std::max(x, 0.0);
    case 32:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default:
      return x;
  }
}

template <class T>
class Operands {
 public:
  explicit Operands(const ProductCase& wanted)
      : wanted_(wanted),
        a(numbers<T>(wanted.a.elements(), 1)),
        b(numbers<T>(wanted.b.elements(), 2)),
        c(numbers<T>(wanted.shape_of_c().elements(), 3)),
        d(wanted.d.elements(), T(-77)),
        bias(numbers<T>(wanted.d.rows + static_cast<size_t>(wanted.bias_stride * (wanted.d.batches - 1)), 4)) {}

  // What D must be; elements of gaps stay.
  std::vector<T> expected() const {
    std::vector<T> result = d;
    const int bits = wanted_.compute == lt_compute_tf32 ? 10 : wanted_.compute == lt_compute_bf16 ? 7 : 52;
    const uint64_t depth = wanted_.transpose_a ? wanted_.a.rows : wanted_.a.columns;
    for (uint64_t batch = 0; batch < static_cast<uint64_t>(wanted_.d.batches); ++batch)
      for (uint64_t i = 0; i < wanted_.d.rows; ++i)
        for (uint64_t j = 0; j < wanted_.d.columns; ++j) {
          double sum = 0;
          for (uint64_t k = 0; k < depth; ++k) {
            const size_t in_a = wanted_.transpose_a ? wanted_.a.place(k, i, batch) : wanted_.a.place(i, k, batch);
            const size_t in_b = wanted_.transpose_b ? wanted_.b.place(j, k, batch) : wanted_.b.place(k, j, batch);
            sum += rounded(a[in_a], bits) * rounded(b[in_b], bits);
          }
          sum *= wanted_.alpha;
          if (wanted_.beta != 0) sum += wanted_.beta * c[wanted_.shape_of_c().place(i, j, batch)];
          if (wanted_.epilogue & 4) sum += bias[i + batch * static_cast<uint64_t>(wanted_.bias_stride)];
          result[wanted_.d.place(i, j, batch)] = static_cast<T>(expected_epilogue(wanted_.epilogue, sum));
        }
    return result;
  }

 private:
  const ProductCase& wanted_;

 public:
  std::vector<T> a, b, c, d, bias;
};

class Products : public OnDevice {
 protected:
  Products() { EXPECT_EQ(cublasLtCreate(&handle_), 0); }
  ~Products() override { EXPECT_EQ(cublasLtDestroy(handle_), 0); }

  // How many algorithms there were, each of which made what it must.
  template <class T>
  size_t check_as(const ProductCase& wanted) {
    const Operands<T> operands(wanted);
    const std::vector<T> expected = operands.expected();
    const uint64_t bias = wanted.epilogue & 4 ? upload(operands.bias) : 0;
    const uint64_t a = upload(operands.a), b = upload(operands.b), c = upload(operands.c), d = upload(operands.d);
    const Described described(wanted, bias);
    std::vector<LtFound> found;
    EXPECT_EQ(described.find(handle_, &found), 0) << cublasLtGetStatusString(lt_unsupported);
    std::set<std::vector<T>> different;
    for (const LtFound& each : found) {
      EXPECT_EQ(each.state, 0);
      EXPECT_LE(each.workspace_bytes, wanted.most_workspace);
      EXPECT_EQ(cuMemcpyHtoDAsync_v2(d, operands.d.data(), operands.d.size() * sizeof(T), stream_), 0);
      // A byte less than the algorithm says would be found.
      const uint64_t workspace = each.workspace_bytes ? allocate(each.workspace_bytes) : 0;
      const T alpha = static_cast<T>(wanted.alpha), beta = static_cast<T>(wanted.beta);
      EXPECT_EQ(cublasLtMatmul(handle_, described.operation, &alpha, at(a), described.layouts[0], at(b),
                               described.layouts[1], &beta, at(c), described.layouts[2], at(d), described.layouts[3],
                               &each.algorithm, at(workspace), each.workspace_bytes, stream_),
                0)
          << cublasLtGetStatusString(lt_invalid);
      const std::vector<T> made = download<T>(d, expected.size());
      different.insert(made);
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_NEAR(made[i], expected[i], sizeof(T) == 8 ? 1e-13 : 4e-6) << "element " << i;
      if (workspace) cuMemFree_v2(workspace);
      if (::testing::Test::HasFailure()) break;
    }
    for (uint64_t address : {a, b, c, d}) cuMemFree_v2(address);
    if (bias) cuMemFree_v2(bias);
    different_results_ = different.size();
    return found.size();
  }
  size_t check(const ProductCase& wanted) {
    return wanted.is_f64() ? check_as<double>(wanted) : check_as<float>(wanted);
  }
  static void* at(uint64_t address) { return reinterpret_cast<void*>(address); }

  void* handle_ = nullptr;
  size_t different_results_ = 0;
};

TEST_F(Products, OfEveryShape) {
  for (auto [m, n, k] : {std::array{1, 1, 1}, {5, 3, 2}, {7, 11, 13}, {16, 16, 16}, {33, 1, 40}, {1, 20, 64}})
    EXPECT_GE(check(product(static_cast<uint64_t>(m), static_cast<uint64_t>(n), static_cast<uint64_t>(k))), 3u)
        << m << "x" << n << "x" << k;
}

TEST_F(Products, InEveryOrderTransposedAndWithGaps) {
  for (int bits = 0; bits < 64; ++bits) {
    ProductCase wanted = product(6, 5, 9);
    wanted.transpose_a = bits & 1;
    wanted.transpose_b = bits >> 1 & 1;
    if (wanted.transpose_a) std::swap(wanted.a.rows, wanted.a.columns);
    if (wanted.transpose_b) std::swap(wanted.b.rows, wanted.b.columns);
    wanted.a.order = bits >> 2 & 1;
    wanted.b.order = bits >> 3 & 1;
    wanted.d.order = bits >> 4 & 1;
    if (bits >> 5 & 1)
      for (MatrixShape* shape : {&wanted.a, &wanted.b, &wanted.d}) shape->leading = shape->shortest() + 3;
    EXPECT_EQ(check(wanted), 5u) << bits;  // all but the one that wants 16 bytes
  }
}

TEST_F(Products, OfBatches) {
  ProductCase wanted = product(4, 8, 6);
  for (MatrixShape* shape : {&wanted.a, &wanted.b, &wanted.d}) {
    shape->batches = 3;
    shape->batch_stride = 60;
  }
  check(wanted);
  wanted.a.batch_stride = 0;  // shared
  check(wanted);
  wanted.epilogue = 4;
  check(wanted);
  wanted.bias_stride = 5;
  check(wanted);
  wanted.bias_stride = 0;
  wanted.compute = lt_compute_f64;
  wanted.epilogue = 1;
  check(wanted);
}

TEST_F(Products, WithFactorsAndASummand) {
  ProductCase wanted = product(5, 4, 7);
  wanted.alpha = -1.5;
  check(wanted);
  wanted.beta = 0.75;
  check(wanted);
  wanted.c = wanted.d;
  wanted.c->leading = 9;
  wanted.epilogue = 6;
  check(wanted);
  wanted.compute = lt_compute_f64;
  wanted.epilogue = 1;
  check(wanted);
}

TEST_F(Products, OfEveryPrecision) {
  for (int compute : {lt_compute_f32, lt_compute_f64, lt_compute_tf32, lt_compute_bf16}) {
    ProductCase wanted = product(8, 8, 24);
    wanted.compute = compute;
    EXPECT_GE(check(wanted), 3u);
  }
}

TEST_F(Products, WithEveryEpilogue) {
  for (uint32_t epilogue : {1u, 2u, 4u, 6u, 32u, 36u}) {
    ProductCase wanted = product(6, 7, 5);
    wanted.epilogue = epilogue;
    EXPECT_GE(check(wanted), 3u) << epilogue;
  }
}

// So that a choice between them is one: what they need differs, and the bits of what they make.
TEST_F(Products, AlgorithmsDiffer) {
  ProductCase wanted = product(16, 16, 64);
  wanted.alignment = 16;
  EXPECT_EQ(check(wanted), 6u);
  EXPECT_GE(different_results_, 5u);
  wanted.most_workspace = 0;
  EXPECT_EQ(check(wanted), 4u);
  wanted.most_workspace = 2 * 16 * 16 * 4;
  EXPECT_EQ(check(wanted), 5u);
  wanted.alignment = 8;
  EXPECT_EQ(check(wanted), 4u);
  wanted.alignment = 16;
  wanted.a.leading = 17;  // columns are not aligned any more
  EXPECT_EQ(check(wanted), 4u);
}

}  // namespace
}  // namespace cuda_emulator
