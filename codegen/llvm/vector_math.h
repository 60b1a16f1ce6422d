// Elementary functions as inline IR, without calls: polynomials of our own on scalars or vectors of float or double.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include "placewright/ir/kernel.h"

namespace placewright {

// Emits op(operands...). Right for NaN, infinities, denormals and -0; errors stand with each function (vector_math.cc).
// Without `has_fma`, products and sums round separately.
llvm::Value* emit_math(llvm::IRBuilderBase& builder, ScalarOp op, llvm::ArrayRef<llvm::Value*> operands, bool has_fma);

}  // namespace placewright
