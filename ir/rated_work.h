// What a rate and a measured curve are of, as machine and profile files write it: `"contraction" f32`, and for products
// whose factors may be rounded `"contraction" f32 precision tf32`.
#pragma once

#include <string>
#include <string_view>

#include "placewright/base/lexer.h"
#include "placewright/ir/kernel.h"

namespace placewright {

// `class_text` is the class as it is to be written: quoted in files, plain in messages.
std::string print_rated_work(std::string_view class_text, DType dtype, Precision precision);

// Error unless the class is known and only products of f32 have a precision.
void read_rated_work(Lexer& lexer, std::string& op_class, DType& dtype, Precision& precision);

}  // namespace placewright
