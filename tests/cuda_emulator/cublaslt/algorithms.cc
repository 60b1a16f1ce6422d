// The products themselves, on the emulator's memory with its checks.
#include "algorithms.h"

#include <bit>
#include <cmath>
#include <limits>

#include "sums.h"

namespace cublaslt_emulator {
namespace {

using cuda_emulator::Context;
using cuda_emulator::find;
using cuda_emulator::LibraryWork;

// To the nearest: halves to tf32 away from zero (cvt.rna), to bf16 to even (cvt.rn). Infinities and NaN stay.
float round_factor(float value, int bits) {
  if (bits == 0 || !std::isfinite(value)) return value;
  const auto all = std::bit_cast<uint32_t>(value);
  const uint32_t half = bits == 16 ? 0x7fff + (all >> 16 & 1) : 1u << (bits - 1);
  return std::bit_cast<float>((all + half) & ~((1u << bits) - 1));
}
double round_factor(double value, int) { return value; }

template <class T>
struct Lines {
  std::vector<T*> lines;  // columns of a matrix in column order, rows of one in row order
  bool is_row_order = false;
  T& at(uint64_t row, uint64_t column) const { return is_row_order ? lines[row][column] : lines[column][row]; }
};

// Each line of one matrix of the batch must lie in an allocation; what lies between lines need not.
template <class T>
Lines<T> lines_of(Context& context, uint64_t address, const Layout& layout, uint64_t batch, const char* what) {
  Lines<T> found;
  found.is_row_order = layout.order == 1;
  const uint64_t line = found.is_row_order ? layout.columns : layout.rows;
  const uint64_t count = found.is_row_order ? layout.rows : layout.columns;
  if (layout.batches > 1) address += batch * static_cast<uint64_t>(layout.batch_stride) * sizeof(T);
  for (uint64_t i = 0; i < count; ++i)
    found.lines.push_back(reinterpret_cast<T*>(
        find(context, address + i * static_cast<uint64_t>(layout.leading) * sizeof(T), line * sizeof(T), what)));
  return found;
}

// A factor with its depth running fastest, rounded: `count` rows of A, or columns of B.
template <class T>
std::vector<T> pack(const Lines<T>& matrix, uint64_t count, uint64_t depth, bool depth_is_row, int rounding) {
  std::vector<T> packed(count * depth);
  for (uint64_t i = 0; i < count; ++i)
    for (uint64_t k = 0; k < depth; ++k)
      packed[i * depth + k] = round_factor(depth_is_row ? matrix.at(k, i) : matrix.at(i, k), rounding);
  return packed;
}

template <class T>
T activate(uint32_t epilogue, bool drops_nan, T value) {
  // Documented is max(x, 0), and not what that is of NaN.
  if (epilogue & epilogue_relu) return value > 0 || (std::isnan(value) && !drops_nan) ? value : 0;
  if (epilogue & epilogue_gelu)  // as documented: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    return T(0.5) * value * (1 + std::tanh(T(0.7978845608028654) * (value + T(0.044715) * value * value * value)));
  return value;
}

// One matrix of the batch: use(row, column, sum of the products of one part).
template <class T, class Use>
void for_each_sum(Context& context, const Problem& problem, const Operands& operands, const Sum& sum, uint64_t batch,
                  int part, Use use) {
  const uint64_t depth = problem.depth, parts = static_cast<uint64_t>(sum.parts);
  const Operation& operation = problem.operation;
  std::vector<T> a = pack(lines_of<T>(context, operands.a, problem.a, batch, "cublasLtMatmul's matrix A"), problem.rows,
                          depth, operation.transpose_a == 1, problem.rounding);
  std::vector<T> b = pack(lines_of<T>(context, operands.b, problem.b, batch, "cublasLtMatmul's matrix B"),
                          problem.columns, depth, operation.transpose_b == 0, problem.rounding);
  const uint64_t begin = depth * static_cast<uint64_t>(part) / parts;
  const uint64_t end = depth * static_cast<uint64_t>(part + 1) / parts;
  for (uint64_t column = 0; column < problem.columns; ++column)
    for (uint64_t row = 0; row < problem.rows; ++row)
      use(row, column, sum_products(sum.order, &a[row * depth + begin], &b[column * depth + begin], end - begin));
}

// Of one matrix of the batch: what is between a sum and the element of D.
template <class T>
class Epilogue {
 public:
  Epilogue(Context& context, const Problem& problem, const Operands& operands, uint64_t batch)
      : problem_(problem),
        operands_(operands),
        d_(lines_of<T>(context, operands.d, problem.d, batch, "cublasLtMatmul's matrix D")) {
    if (operands.beta != 0) c_ = lines_of<T>(context, operands.c, problem.c, batch, "cublasLtMatmul's matrix C");
    const Operation& operation = problem.operation;
    if (operation.epilogue & epilogue_bias)
      bias_ = reinterpret_cast<const T*>(
          find(context, operation.bias + batch * static_cast<uint64_t>(operation.bias_stride) * sizeof(T),
               problem.rows * sizeof(T), "cublasLtMatmul's bias"));
  }
  void store(uint64_t row, uint64_t column, T sum) const {
    T value = static_cast<T>(operands_.alpha) * sum;
    if (operands_.beta != 0) value += static_cast<T>(operands_.beta) * c_.at(row, column);
    if (bias_) value += bias_[row];
    d_.at(row, column) = activate(problem_.operation.epilogue, operands_.drops_nan, value);
  }

 private:
  const Problem& problem_;
  const Operands& operands_;
  Lines<T> c_, d_;
  const T* bias_ = nullptr;
};

template <class T>
void run_whole(Context& context, const Problem& problem, const Operands& operands, const Sum& sum) {
  for (uint64_t batch = 0; batch < problem.batches; ++batch) {
    Epilogue<T> epilogue(context, problem, operands, batch);
    for_each_sum<T>(context, problem, operands, sum, batch, 0,
                    [&](uint64_t row, uint64_t column, T value) { epilogue.store(row, column, value); });
  }
}

template <class T>
T* workspace_of(Context& context, const Choice& choice, const Operands& operands) {
  return reinterpret_cast<T*>(find(context, operands.workspace, choice.workspace_bytes, "cublasLtMatmul's workspace"));
}

template <class T>
void run_parts(Context& context, const Problem& problem, const Choice& choice, const Operands& operands,
               const Sum& sum) {
  T* next = workspace_of<T>(context, choice, operands);
  for (uint64_t batch = 0; batch < problem.batches; ++batch)
    for (int part = 0; part < sum.parts; ++part)
      for_each_sum<T>(context, problem, operands, sum, batch, part,
                      [&](uint64_t, uint64_t, T value) { *next++ = value; });
}

// What is left in the workspace is of no use to anybody.
template <class T>
void join_parts(Context& context, const Problem& problem, const Choice& choice, const Operands& operands,
                const Sum& sum) {
  T* parts = workspace_of<T>(context, choice, operands);
  const uint64_t count = problem.rows * problem.columns;
  for (uint64_t batch = 0; batch < problem.batches; ++batch) {
    Epilogue<T> epilogue(context, problem, operands, batch);
    for (uint64_t i = 0; i < count; ++i) {
      T value = 0;
      for (int part = 0; part < sum.parts; ++part) value += parts[static_cast<uint64_t>(part) * count + i];
      epilogue.store(i % problem.rows, i / problem.rows, value);
    }
    for (uint64_t i = 0; i < count * static_cast<uint64_t>(sum.parts); ++i)
      *parts++ = std::numeric_limits<T>::quiet_NaN();
  }
}

template <class T>
std::vector<LibraryWork> works(const Problem& problem, const Choice& choice, const Operands& operands, const Sum& sum) {
  const std::string name = "cublasLtMatmul of " + std::to_string(problem.rows) + "x" + std::to_string(problem.columns) +
                           "x" + std::to_string(problem.depth) + " (algorithm " + std::to_string(sum.id) + ")";
  if (sum.parts == 1) return {{name, [=](Context& context) { run_whole<T>(context, problem, operands, sum); }}};
  const uint64_t scratch = operands.workspace, bytes = choice.workspace_bytes;
  return {{name, [=](Context& context) { run_parts<T>(context, problem, choice, operands, sum); }, scratch, bytes},
          {name, [=](Context& context) { join_parts<T>(context, problem, choice, operands, sum); }, scratch, bytes}};
}

}  // namespace

std::vector<LibraryWork> works_of(const Problem& problem, const Choice& choice, const Operands& operands) {
  for (const Sum& sum : sums)
    if (sum.id == choice.id)
      return problem.is_f64 ? works<double>(problem, choice, operands, sum)
                            : works<float>(problem, choice, operands, sum);
  return {};
}

}  // namespace cublaslt_emulator
