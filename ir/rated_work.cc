#include "rated_work.h"

#include <vector>

#include <fmt/core.h>

#include "placewright/base/join.h"
#include "placewright/ir/parse_type.h"
#include "placewright/ir/work.h"

namespace placewright {

std::string print_rated_work(std::string_view class_text, DType dtype, Precision precision) {
  std::string text = fmt::format("{} {}", class_text, name(dtype));
  if (precision != Precision::f32) text += fmt::format(" precision {}", name(precision));
  return text;
}

void read_rated_work(Lexer& lexer, std::string& op_class, DType& dtype, Precision& precision) {
  size_t at = lexer.position();
  op_class = lexer.string("an op class");
  if (!is_op_class(op_class)) {
    std::vector<std::string_view> names;
    for (const OpClass& known : op_classes()) names.push_back(known.name);
    lexer.fail_at(at, fmt::format("found op class {}, expected one of {}", quote(op_class), join(names, ", ")));
  }
  dtype = parse_dtype(lexer);
  at = lexer.position();
  if (!lexer.accept("precision")) return;
  if (dtype != DType::f32 || !is_product_class(op_class))
    lexer.fail_at(at,
                  fmt::format("found a precision of {} {}, expected one of contraction f32 or convolution f32: only "
                              "their factors are rounded",
                              op_class, name(dtype)));
  at = lexer.position();
  const std::string word = lexer.identifier("a precision");
  const std::optional<Precision> read = try_parse_precision(word);
  if (!read || *read == Precision::f32)
    lexer.fail_at(at, fmt::format("found precision {}, expected tf32 or bf16", word));
  precision = *read;
}

}  // namespace placewright
