// Pieces that several text forms share: devices, layouts, sizes and lists of integers.
#pragma once

#include <string>
#include <vector>

#include "placewright/base/lexer.h"
#include "placewright/ir/type.h"

namespace placewright {

DeviceId read_device(Lexer& lexer);             // cpu:0
DType read_dtype(Lexer& lexer);                 // f32
Sizes read_sizes(Lexer& lexer);                 // [2,3]
Layout read_layout(Lexer& lexer, size_t rank);  // {order=1,0 block=0:16 pad=0:0..2}, or nothing: row-major
std::vector<int> read_indices(Lexer& lexer);    // (1, 2)
std::string print_indices(const std::vector<int>& indices);

}  // namespace placewright
