#include "lt_product.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include <fmt/format.h>

#include "placewright/base/checked.h"
#include "placewright/ir/kernel.h"

namespace placewright {
namespace {

constexpr int most_candidates = 8;
constexpr int64_t most_alignment = 64;  // that of arenas: more would tell products apart that are the same
constexpr int64_t bias_alignment = 16;
constexpr int64_t most_size = std::numeric_limits<int32_t>::max();

int64_t alignment_of(const void* address) {
  const auto number = reinterpret_cast<uint64_t>(address) | most_alignment;
  return static_cast<int64_t>(number & (~number + 1));
}

bool lies_by_rows(const Contraction::Matrix& matrix) { return matrix.column == 1; }

// Elements from the first to behind the last.
int64_t span_of(const Contraction::Matrix& matrix, int64_t batch, int64_t rows, int64_t columns) {
  return (batch - 1) * matrix.batch + (rows - 1) * matrix.row + (columns - 1) * matrix.column + 1;
}

}  // namespace

std::string LtChoice::to_text() const {
  if (!by_library) return "kernel";
  std::string text = fmt::format("library {}", workspace_bytes);
  for (uint64_t word : algorithm.data) text += fmt::format(" {:016x}", word);
  return text;
}

std::optional<LtChoice> LtChoice::try_parse(const std::string& text) {
  LtChoice choice;
  if (text == "kernel") return choice;
  choice.by_library = true;
  auto& w = choice.algorithm.data;
  long long bytes = 0;
  unsigned long long words[8] = {};
  int end = 0;
  if (std::sscanf(text.c_str(), "library %lld %llx %llx %llx %llx %llx %llx %llx %llx%n", &bytes, &words[0], &words[1],
                  &words[2], &words[3], &words[4], &words[5], &words[6], &words[7], &end) != 9 ||
      static_cast<size_t>(end) != text.size() || bytes < 0)
    return std::nullopt;
  std::copy(std::begin(words), std::end(words), std::begin(w));
  choice.workspace_bytes = bytes;
  return choice;
}

LtProduct::LtProduct(std::shared_ptr<const cuda::CublasLt> library, cuda::LtHandleObject* handle,
                     const Contraction& contraction)
    : library_(std::move(library)), handle_(handle), contraction_(contraction) {}

LtProduct::~LtProduct() {
  for (cuda::LtLayoutObject* layout : {a_, b_, d_})
    if (layout) library_->layout_destroy(layout);
  if (operation_) library_->operation_destroy(operation_);
}

// Row-major X of r rows is column-major X transposed: the library gets result^T = right^T left^T, whose rows are our
// columns, along which its bias runs.
std::unique_ptr<LtProduct> LtProduct::try_make(std::shared_ptr<const cuda::CublasLt> library,
                                               cuda::LtHandleObject* handle, const Contraction& contraction) {
  const Contraction& c = contraction;
  if (c.dtype != DType::f32 && c.dtype != DType::f64) return nullptr;
  for (int64_t size : {c.batch, c.rows, c.columns, c.depth})
    if (size > most_size) return nullptr;
  std::unique_ptr<LtProduct> made(new LtProduct(std::move(library), handle, contraction));
  if (!made->describe_operation() || !made->describe_layout(&made->a_, c.right, c.depth, c.columns) ||
      !made->describe_layout(&made->b_, c.left, c.rows, c.depth) ||
      !made->describe_layout(&made->d_, c.result, c.rows, c.columns))
    return nullptr;
  return made;
}

bool LtProduct::describe_operation() {
  const bool is_f64 = contraction_.dtype == DType::f64;
  const int compute = is_f64                                      ? cuda::lt_compute_f64
                      : contraction_.precision == Precision::tf32 ? cuda::lt_compute_tf32
                      : contraction_.precision == Precision::bf16 ? cuda::lt_compute_bf16
                                                                  : cuda::lt_compute_f32;
  if (library_->operation_create(&operation_, compute, is_f64 ? cuda::lt_type_f64 : cuda::lt_type_f32) != 0) {
    operation_ = nullptr;
    return false;
  }
  unsigned epilogue = contraction_.bias >= 0 ? cuda::lt_bias : 0;
  if (contraction_.activation == Contraction::Activation::relu) epilogue |= cuda::lt_relu;
  if (contraction_.activation == Contraction::Activation::gelu) epilogue |= cuda::lt_gelu;
  if (epilogue == 0) epilogue = cuda::lt_plain;
  const int32_t transpose_a = lies_by_rows(contraction_.right) ? 0 : 1;
  const int32_t transpose_b = lies_by_rows(contraction_.left) ? 0 : 1;
  return library_->operation_set(operation_, cuda::lt_transpose_a, &transpose_a, sizeof transpose_a) == 0 &&
         library_->operation_set(operation_, cuda::lt_transpose_b, &transpose_b, sizeof transpose_b) == 0 &&
         library_->operation_set(operation_, cuda::lt_epilogue, &epilogue, sizeof epilogue) == 0;
}

// As it stands in memory, column by column: a matrix whose columns are neighbours is its transpose.
bool LtProduct::describe_layout(cuda::LtLayoutObject** made, const Contraction::Matrix& matrix, int64_t rows,
                                int64_t columns) {
  const bool turned = lies_by_rows(matrix);
  const int64_t leading = turned ? matrix.row : matrix.column;
  if (leading > most_size) return false;
  const int type = contraction_.dtype == DType::f64 ? cuda::lt_type_f64 : cuda::lt_type_f32;
  if (library_->layout_create(made, type, static_cast<uint64_t>(turned ? columns : rows),
                              static_cast<uint64_t>(turned ? rows : columns), leading) != 0) {
    *made = nullptr;
    return false;
  }
  if (contraction_.batch == 1) return true;
  const auto count = static_cast<int32_t>(contraction_.batch);
  return library_->layout_set(*made, cuda::lt_batch_count, &count, sizeof count) == 0 &&
         library_->layout_set(*made, cuda::lt_batch_offset, &matrix.batch, sizeof matrix.batch) == 0;
}

LtProduct::Operands LtProduct::operands(std::span<void* const> buffers) const {
  const int64_t size = byte_size(contraction_.dtype, 1);
  auto address = [&](const Contraction::Matrix& matrix) {
    return static_cast<uint8_t*>(buffers[static_cast<size_t>(matrix.buffer)]) + matrix.offset * size;
  };
  Operands made;
  made.left = address(contraction_.left);
  made.right = address(contraction_.right);
  if (contraction_.result.buffer < static_cast<int>(buffers.size())) made.result = address(contraction_.result);
  if (contraction_.bias >= 0) made.bias = buffers[static_cast<size_t>(contraction_.bias)];
  made.alignment = std::min({alignment_of(made.left), alignment_of(made.right), alignment_of(made.result)});
  if (made.bias) made.alignment = std::min(made.alignment, alignment_of(made.bias));
  return made;
}

bool LtProduct::suits(const Operands& operands) const {
  if (operands.bias && alignment_of(operands.bias) < bias_alignment) return false;
  if (!operands.result) return true;
  const Contraction& c = contraction_;
  const int64_t size = byte_size(c.dtype, 1);
  auto begin = [](const void* address) { return reinterpret_cast<uint64_t>(address); };
  auto bytes = [&](int64_t elements) { return static_cast<uint64_t>(elements * size); };
  const uint64_t result = begin(operands.result);
  const uint64_t result_end = result + static_cast<uint64_t>(result_bytes());
  auto apart = [&](const void* address, int64_t elements) {
    return begin(address) >= result_end || begin(address) + bytes(elements) <= result;
  };
  return apart(operands.left, span_of(c.left, c.batch, c.rows, c.depth)) &&
         apart(operands.right, span_of(c.right, c.batch, c.depth, c.columns)) &&
         (!operands.bias || apart(operands.bias, c.columns));
}

int64_t LtProduct::result_bytes() const {
  const Contraction& c = contraction_;
  return byte_size(c.dtype, span_of(c.result, c.batch, c.rows, c.columns));
}

void LtProduct::point_to_bias(const Operands& operands) const {
  if (operands.bias) library_->operation_set(operation_, cuda::lt_bias_pointer, &operands.bias, sizeof operands.bias);
}

std::vector<cuda::LtCandidate> LtProduct::find(const Operands& operands, int64_t most_workspace) const {
  cuda::LtPreferenceObject* preference = nullptr;
  if (library_->preference_create(&preference) != 0) return {};
  const auto workspace = static_cast<uint64_t>(most_workspace);
  const auto alignment = static_cast<uint32_t>(operands.alignment);
  bool set = library_->preference_set(preference, cuda::lt_most_workspace, &workspace, sizeof workspace) == 0;
  for (int which = cuda::lt_alignment_a; which <= cuda::lt_alignment_d; ++which)
    set = set && library_->preference_set(preference, which, &alignment, sizeof alignment) == 0;
  point_to_bias(operands);
  std::vector<cuda::LtCandidate> candidates(most_candidates);
  int found = 0;
  if (!set || library_->find_algorithms(handle_, operation_, a_, b_, d_, d_, preference, most_candidates,
                                        candidates.data(), &found) != 0)
    found = 0;
  library_->preference_destroy(preference);
  candidates.resize(static_cast<size_t>(std::clamp(found, 0, most_candidates)));
  std::erase_if(candidates, [&](const cuda::LtCandidate& candidate) {
    return candidate.state != 0 || candidate.workspace_bytes > workspace;
  });
  return candidates;
}

bool LtProduct::can_run(const LtChoice& choice, const Operands& operands) const {
  point_to_bias(operands);
  cuda::LtCandidate found;
  return library_->check_algorithm(handle_, operation_, a_, b_, d_, d_, &choice.algorithm, &found) == 0 &&
         static_cast<int64_t>(found.workspace_bytes) <= choice.workspace_bytes;
}

cuda::LtStatus LtProduct::run(const cuda::LtAlgorithm& algorithm, const Operands& operands, void* workspace,
                              int64_t bytes, cuda::StreamObject* stream) const {
  return run_scaled(contraction_.scale, algorithm, operands, workspace, bytes, stream);
}

cuda::LtStatus LtProduct::run_on_nan(const cuda::LtAlgorithm& algorithm, const Operands& operands, void* workspace,
                                     int64_t bytes, cuda::StreamObject* stream) const {
  return run_scaled(std::numeric_limits<double>::quiet_NaN(), algorithm, operands, workspace, bytes, stream);
}

cuda::LtStatus LtProduct::run_scaled(double scale, const cuda::LtAlgorithm& algorithm, const Operands& operands,
                                     void* workspace, int64_t bytes, cuda::StreamObject* stream) const {
  point_to_bias(operands);
  const double wide[] = {scale, 0};
  const float narrow[] = {static_cast<float>(scale), 0};
  const bool is_f64 = contraction_.dtype == DType::f64;
  const void* alpha = is_f64 ? static_cast<const void*>(&wide[0]) : &narrow[0];
  const void* beta = is_f64 ? static_cast<const void*>(&wide[1]) : &narrow[1];
  return library_->multiply(handle_, operation_, alpha, operands.right, a_, operands.left, b_, beta, operands.result,
                            d_, operands.result, d_, &algorithm, workspace, static_cast<size_t>(bytes), stream);
}

std::string LtProduct::key(int64_t alignment) const {
  const Contraction& c = contraction_;
  std::string text = fmt::format("{}; aligned {}", describe(c), alignment);
  for (const Contraction::Matrix& matrix : {c.left, c.right, c.result})
    text += fmt::format("; {} {} {}", matrix.row, matrix.column, matrix.batch);
  return text;
}

}  // namespace placewright
