// Reads types, devices and lines of code out of text, in the forms that their to_string writes.
#pragma once

#include "placewright/base/lexer.h"
#include "placewright/ir/origin.h"
#include "placewright/ir/type.h"

namespace placewright {

DType parse_dtype(Lexer& lexer);
Sizes parse_sizes(Lexer& lexer);
Shape parse_shape(Lexer& lexer);
DeviceId parse_device(Lexer& lexer);
Type parse_type(Lexer& lexer);
SourceSite parse_site(Lexer& lexer);  // `"train.cc":31`

}  // namespace placewright
