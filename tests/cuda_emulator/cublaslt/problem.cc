// Which products there are: everything else is refused as cublasLt.h says.
#include <cstring>

#include "cublaslt.h"

namespace cublaslt_emulator {
namespace {

struct Refusal {
  Status status;
  std::string why;
};

void require(bool holds, Status status, const std::string& why) {
  if (!holds) throw Refusal{status, why};
}

std::string shape(const Layout& layout) { return std::to_string(layout.rows) + "x" + std::to_string(layout.columns); }

void check_types(const Operation& operation, const Layout* const* layouts, Problem* problem) {
  const int compute = operation.compute_type;
  problem->is_f64 = compute == compute_f64 || compute == compute_f64_pedantic;
  require(problem->is_f64 || compute == compute_f32 || compute == compute_f32_pedantic || compute == compute_bf16 ||
              compute == compute_tf32,
          not_supported, "compute type " + std::to_string(compute) + " is not implemented");
  problem->rounding = compute == compute_tf32 ? 13 : compute == compute_bf16 ? 16 : 0;
  const int type = problem->is_f64 ? type_f64 : type_f32;
  require(operation.scale_type == type, not_supported,
          "scale type " + std::to_string(operation.scale_type) + " with compute type " + std::to_string(compute));
  for (int i = 0; i < 4; ++i)
    require(static_cast<int>(layouts[i]->type) == type, not_supported,
            std::string("matrix ") + "ABCD"[i] + " is of type " + std::to_string(layouts[i]->type) + ", expected " +
                std::to_string(type));
}

void check_layout(const Layout& layout, char name, bool is_written) {
  const std::string matrix = std::string("matrix ") + name;
  require(layout.order == 0 || layout.order == 1, not_supported, matrix + " has an order that is not implemented");
  const uint64_t line = layout.order == 0 ? layout.rows : layout.columns;
  const uint64_t lines = layout.order == 0 ? layout.columns : layout.rows;
  require(line > 0 && lines > 0, invalid_value, matrix + " is " + shape(layout));
  require(line <= INT32_MAX && lines <= INT32_MAX, not_supported, matrix + " is " + shape(layout));
  require(layout.leading >= static_cast<int64_t>(line), invalid_value,
          matrix + " is " + shape(layout) + ", its leading dimension " + std::to_string(layout.leading));
  require(layout.batches >= 1, invalid_value, matrix + " has " + std::to_string(layout.batches) + " batches");
  if (layout.batches == 1) return;
  require(layout.batch_stride >= 0, invalid_value, matrix + " has a negative batch stride");
  require(!is_written || layout.batch_stride >= static_cast<int64_t>(span_of(layout)), invalid_value,
          "the batches of matrix " + std::string(1, name) + " overlap");
}

void check_epilogue(const Operation& operation, const Layout& d, const Problem& problem) {
  const uint32_t epilogue = operation.epilogue;
  const bool has_bias = epilogue & epilogue_bias;
  const uint32_t function = has_bias ? epilogue & ~epilogue_bias : epilogue;
  require(function == epilogue_relu || function == epilogue_gelu || (has_bias ? function == 0 : function == 1),
          not_supported, "epilogue " + std::to_string(epilogue) + " is not implemented");
  require(!problem.is_f64 || epilogue == epilogue_default, not_supported, "f64 with an epilogue");
  if (!has_bias) return;
  // On an A100, too (github.com/luminal-ai/luminal/pull/436, github.com/ml-explore/mlx/pull/2569).
  require(d.order == 0, not_supported, "a bias where D is in row order");
  require(operation.bias != 0, invalid_value, "an epilogue with a bias, and no bias pointer");
  require(operation.bias_type == -1 || operation.bias_type == type_f32, not_supported,
          "a bias of type " + std::to_string(operation.bias_type));
  require(operation.bias_stride >= 0, invalid_value, "a negative batch stride of the bias");
}

void check(const Operation& operation, const Layout& a, const Layout& b, const Layout& c, const Layout& d,
           Problem* problem) {
  const Layout* layouts[] = {&a, &b, &c, &d};
  check_types(operation, layouts, problem);
  require(operation.pointer_mode == 0, not_supported, "a pointer mode other than the host's");
  require(operation.transpose_a == 0 || operation.transpose_a == 1, not_supported, "this transposition of A");
  require(operation.transpose_b == 0 || operation.transpose_b == 1, not_supported, "this transposition of B");
  require(operation.transpose_c == 0, not_supported, "C transposed");
  require(operation.fill_mode == 2, not_supported, "a fill mode");
  for (int i = 0; i < 4; ++i) check_layout(*layouts[i], "ABCD"[i], i == 3);
  problem->rows = operation.transpose_a ? a.columns : a.rows;
  problem->depth = operation.transpose_a ? a.rows : a.columns;
  problem->columns = operation.transpose_b ? b.rows : b.columns;
  problem->batches = static_cast<uint64_t>(d.batches);
  const uint64_t depth_of_b = operation.transpose_b ? b.columns : b.rows;
  require(depth_of_b == problem->depth, invalid_value,
          "A has the depth " + std::to_string(problem->depth) + ", B " + std::to_string(depth_of_b));
  for (const Layout* layout : {&c, &d})
    require(layout->rows == problem->rows && layout->columns == problem->columns, invalid_value,
            std::string("matrix ") + (layout == &c ? "C" : "D") + " is " + shape(*layout) + ", the product " +
                std::to_string(problem->rows) + "x" + std::to_string(problem->columns));
  for (const Layout* layout : layouts)
    require(layout->batches == d.batches, invalid_value, "the matrices have different numbers of batches");
  require(c.order == d.order, not_supported, "C and D of different orders");
  check_epilogue(operation, d, *problem);
  problem->operation = operation;
  problem->a = a, problem->b = b, problem->c = c, problem->d = d;
}

}  // namespace

uint64_t span_of(const Layout& layout) {
  const uint64_t line = layout.order == 0 ? layout.rows : layout.columns;
  const uint64_t lines = layout.order == 0 ? layout.columns : layout.rows;
  return line == 0 || lines == 0 ? 0 : (lines - 1) * static_cast<uint64_t>(layout.leading) + line;
}

Status make_problem(const Operation& operation, const Layout& a, const Layout& b, const Layout& c, const Layout& d,
                    Problem* problem, std::string* why) {
  try {
    check(operation, a, b, c, d, problem);
  } catch (const Refusal& refusal) {
    *why = refusal.why;
    return refusal.status;
  }
  return success;
}

uint64_t Problem::hash() const {
  uint64_t all = 14695981039346656037u;
  auto add = [&](uint64_t value) {
    for (int i = 0; i < 8; ++i) all = (all ^ (value >> (8 * i) & 0xff)) * 1099511628211u;
  };
  add(static_cast<uint64_t>(operation.compute_type));
  add(static_cast<uint64_t>(operation.transpose_a * 2 + operation.transpose_b));
  add(operation.epilogue);
  add(static_cast<uint64_t>(operation.bias_stride));
  for (const Layout* layout : {&a, &b, &c, &d}) {
    add(layout->rows), add(layout->columns), add(static_cast<uint64_t>(layout->order));
    add(static_cast<uint64_t>(layout->leading)), add(static_cast<uint64_t>(layout->batches));
    if (layout->batches > 1) add(static_cast<uint64_t>(layout->batch_stride));
  }
  return all;
}

}  // namespace cublaslt_emulator
