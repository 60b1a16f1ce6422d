#include <algorithm>

#include "function_emitter.h"
#include "placewright/base/error.h"
#include "vector_math.h"

namespace placewright {

using llvm::FixedVectorType;
using llvm::Intrinsic::ID;

FunctionEmitter::Value* FunctionEmitter::i64(int64_t value) const {
  return llvm::ConstantInt::getSigned(llvm::Type::getInt64Ty(module_.getContext()), value);
}

FunctionEmitter::Value* FunctionEmitter::recall(const Key& key) const {
  for (auto scope = memo_.rbegin(); scope != memo_.rend(); ++scope)
    if (auto found = scope->find(key); found != scope->end()) return found->second;
  return nullptr;
}

const ScalarBody& FunctionEmitter::body_of(BodyKind kind) const {
  return kind == BodyKind::body       ? stage_->body
         : kind == BodyKind::epilogue ? stage_->epilogue
                                      : stage_->reduction.combine;
}

llvm::Type* FunctionEmitter::register_type(DType dtype) const {
  return dtype == DType::boolean ? llvm::Type::getInt1Ty(module_.getContext()) : memory_type(dtype);
}

FunctionEmitter::Value* FunctionEmitter::widen(Value* scalar) {
  if (scalar->getType()->isVectorTy()) return scalar;
  if (llvm::isa<llvm::Constant>(scalar)) return b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), scalar);
  Key key{2, static_cast<int64_t>(reinterpret_cast<intptr_t>(scalar))};
  if (Value* known = recall(key)) return known;
  Value* wide = b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), scalar);
  remember(key, wide);
  return wide;
}

FunctionEmitter::Value* FunctionEmitter::like(llvm::Type* type, double value) const {
  return llvm::ConstantFP::get(type, value);
}

FunctionEmitter::Value* FunctionEmitter::constant(const ScalarNode& node) {
  llvm::Type* type = register_type(node.dtype);
  if (is_floating(node.dtype)) return llvm::ConstantFP::get(type, node.number);
  if (node.dtype == DType::boolean) return llvm::ConstantInt::get(type, node.integer != 0);
  return llvm::ConstantInt::get(type, static_cast<uint64_t>(node.integer));
}

Emitted FunctionEmitter::node(BodyKind kind, int number, const Sizes& point) {
  const ScalarNode& node = body_of(kind)[number];
  if (node.op == ScalarOp::constant) return {constant(node), false};
  if (node.op == ScalarOp::parameter) {
    Value* value = parameters_[node.slot];
    return {value, value->getType()->isVectorTy()};
  }
  if (node.op == ScalarOp::reduced) {
    Sizes at = point;
    for (int d = 0; d < stage_->rank(); ++d)
      if (stage_->reduced[d]) at[d] = 0;
    return reduced_at_.at(at)[static_cast<size_t>(node.slot)];
  }
  Key key{0, static_cast<int64_t>(kind), number};
  Sizes relevant = point;
  if (kind != BodyKind::combine) {
    uint64_t dims = dependencies(kind, number);
    for (int d = 0; d < stage_->rank(); ++d)
      if (!(dims >> d & 1)) relevant[d] = 0;
    key.insert(key.end(), relevant.begin(), relevant.end());
  }
  if (Value* known = recall(key)) return {known, known->getType()->isVectorTy()};
  Emitted result;
  if (node.op == ScalarOp::load) {
    result = load(kind, node.slot, relevant, node.dtype);
  } else if (node.op == ScalarOp::index) {
    result.value = index_expression(AffineExpr::dim(node.slot, stage_->rank()), relevant, result.vector);
  } else {
    std::vector<Value*> operands;
    DType operand_dtype = node.dtype;
    bool any_vector = false;
    for (int operand : node.operands) {
      if (operand < 0) continue;
      operands.push_back(this->node(kind, operand, relevant).value);
      operand_dtype = body_of(kind)[operand].dtype;
      any_vector = any_vector || operands.back()->getType()->isVectorTy();
    }
    if (any_vector)
      for (Value*& operand : operands) operand = widen(operand);
    result.value = arithmetic(node.op, node.dtype, operand_dtype, operands);
  }
  remember(key, result.value);
  return {result.value, result.value->getType()->isVectorTy()};
}

FunctionEmitter::Value* FunctionEmitter::multiply_add(Value* a, Value* b, Value* c) {
  if (!target_.has_fma) return b_.CreateFAdd(b_.CreateFMul(a, b), c);
  return b_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, c});
}

FunctionEmitter::Value* FunctionEmitter::compare(ScalarOp op, DType dtype, Value* a, Value* b) {
  using P = llvm::CmpInst::Predicate;
  int at = static_cast<int>(op) - static_cast<int>(ScalarOp::equal);
  if (is_floating(dtype)) {
    constexpr P predicates[] = {P::FCMP_OEQ, P::FCMP_UNE, P::FCMP_OLT, P::FCMP_OLE, P::FCMP_OGT, P::FCMP_OGE};
    return b_.CreateFCmp(predicates[at], a, b);
  }
  constexpr P with_sign[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_SLT, P::ICMP_SLE, P::ICMP_SGT, P::ICMP_SGE};
  constexpr P without_sign[] = {P::ICMP_EQ, P::ICMP_NE, P::ICMP_ULT, P::ICMP_ULE, P::ICMP_UGT, P::ICMP_UGE};
  return b_.CreateICmp((is_signed(dtype) ? with_sign : without_sign)[at], a, b);
}

// Integer division never traps: by 0 the quotient is 0 and so is the remainder; the smallest number by -1 wraps.
FunctionEmitter::Value* FunctionEmitter::divide(ScalarOp op, DType dtype, Value* a, Value* b) {
  if (is_floating(dtype)) {
    if (op == ScalarOp::div) return b_.CreateFDiv(a, b);
    return emit_math(b_, ScalarOp::rem, {a, b}, target_.has_fma);
  }
  Value* zero = llvm::Constant::getNullValue(a->getType());
  Value* one = llvm::ConstantInt::get(a->getType(), 1);
  Value* by_zero = b_.CreateICmpEQ(b, zero);
  Value* divisor = b_.CreateSelect(by_zero, one, b);
  if (!is_signed(dtype)) {
    Value* value = op == ScalarOp::div ? b_.CreateUDiv(a, divisor) : b_.CreateURem(a, divisor);
    return b_.CreateSelect(by_zero, zero, value);
  }
  Value* by_minus_one = b_.CreateICmpEQ(b, llvm::Constant::getAllOnesValue(a->getType()));
  divisor = b_.CreateSelect(by_minus_one, one, divisor);
  Value* value = op == ScalarOp::div ? b_.CreateSDiv(a, divisor) : b_.CreateSRem(a, divisor);
  value = b_.CreateSelect(by_minus_one, op == ScalarOp::div ? b_.CreateNeg(a) : zero, value);
  return b_.CreateSelect(by_zero, zero, value);
}

FunctionEmitter::Value* FunctionEmitter::convert(Value* value, DType from, DType to) {
  if (from == to) return value;
  llvm::Type* type = register_type(to);
  if (auto* vector = llvm::dyn_cast<FixedVectorType>(value->getType()))
    type = FixedVectorType::get(type, vector->getNumElements());
  llvm::Value* zero = llvm::Constant::getNullValue(value->getType());
  if (to == DType::boolean) return is_floating(from) ? b_.CreateFCmpUNE(value, zero) : b_.CreateICmpNE(value, zero);
  if (is_floating(from)) {
    if (is_floating(to)) return b_.CreateFPCast(value, type);
    ID saturating = is_signed(to) ? llvm::Intrinsic::fptosi_sat : llvm::Intrinsic::fptoui_sat;
    return b_.CreateIntrinsic(saturating, {type, value->getType()}, {value});
  }
  bool has_sign = is_signed(from);
  if (is_floating(to)) return has_sign ? b_.CreateSIToFP(value, type) : b_.CreateUIToFP(value, type);
  return b_.CreateIntCast(value, type, has_sign);
}

FunctionEmitter::Value* FunctionEmitter::arithmetic(ScalarOp op, DType result, DType operand,
                                                    llvm::ArrayRef<Value*> v) {
  bool floating = is_floating(result);
  llvm::Type* type = v[0]->getType();
  auto unary = [&](ID id) { return b_.CreateUnaryIntrinsic(id, v[0]); };
  auto binary = [&](ID id) { return b_.CreateBinaryIntrinsic(id, v[0], v[1]); };
  switch (op) {
    case ScalarOp::add:
      return floating ? b_.CreateFAdd(v[0], v[1]) : b_.CreateAdd(v[0], v[1]);
    case ScalarOp::sub:
      return floating ? b_.CreateFSub(v[0], v[1]) : b_.CreateSub(v[0], v[1]);
    case ScalarOp::mul:
      return floating ? b_.CreateFMul(v[0], v[1]) : b_.CreateMul(v[0], v[1]);
    case ScalarOp::div:
    case ScalarOp::rem:
      return divide(op, result, v[0], v[1]);
    case ScalarOp::min:
      return binary(floating            ? llvm::Intrinsic::minimum
                    : is_signed(result) ? llvm::Intrinsic::smin
                                        : llvm::Intrinsic::umin);
    case ScalarOp::max:
      return binary(floating            ? llvm::Intrinsic::maximum
                    : is_signed(result) ? llvm::Intrinsic::smax
                                        : llvm::Intrinsic::umax);
    case ScalarOp::neg:
      return floating ? b_.CreateFNeg(v[0]) : b_.CreateNeg(v[0]);
    case ScalarOp::abs:
      if (floating) return unary(llvm::Intrinsic::fabs);
      return is_signed(result) ? b_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, v[0], b_.getFalse()) : v[0];
    case ScalarOp::sign: {
      Value* zero = llvm::Constant::getNullValue(type);
      if (!floating) {
        Value* one = llvm::ConstantInt::get(type, 1);
        Value* negative = is_signed(result) ? llvm::Constant::getAllOnesValue(type) : zero;
        Value* below = b_.CreateSelect(compare(ScalarOp::less, result, v[0], zero), negative, zero);
        return b_.CreateSelect(compare(ScalarOp::greater, result, v[0], zero), one, below);
      }
      Value* below = b_.CreateSelect(b_.CreateFCmpOLT(v[0], zero), like(type, -1), v[0]);
      return b_.CreateSelect(b_.CreateFCmpOGT(v[0], zero), like(type, 1), below);
    }
    case ScalarOp::sqrt:
      return unary(llvm::Intrinsic::sqrt);
    case ScalarOp::rsqrt:
      return b_.CreateFDiv(like(type, 1), unary(llvm::Intrinsic::sqrt));
    case ScalarOp::floor:
      return floating ? unary(llvm::Intrinsic::floor) : v[0];
    case ScalarOp::ceil:
      return floating ? unary(llvm::Intrinsic::ceil) : v[0];
    case ScalarOp::round:
      return floating ? unary(llvm::Intrinsic::roundeven) : v[0];
    case ScalarOp::trunc:
      return floating ? unary(llvm::Intrinsic::trunc) : v[0];
    case ScalarOp::equal:
    case ScalarOp::not_equal:
    case ScalarOp::less:
    case ScalarOp::less_equal:
    case ScalarOp::greater:
    case ScalarOp::greater_equal:
      return compare(op, operand, v[0], v[1]);
    case ScalarOp::is_nan:
      return b_.CreateFCmpUNO(v[0], v[0]);
    case ScalarOp::is_finite:
      return b_.CreateFCmpOLT(unary(llvm::Intrinsic::fabs), llvm::ConstantFP::getInfinity(type));
    case ScalarOp::logical_and:
      return b_.CreateAnd(v[0], v[1]);
    case ScalarOp::logical_or:
      return b_.CreateOr(v[0], v[1]);
    case ScalarOp::logical_xor:
      return b_.CreateXor(v[0], v[1]);
    case ScalarOp::logical_not:
      return b_.CreateNot(v[0]);
    case ScalarOp::shift_left:
      return b_.CreateShl(v[0], v[1]);
    case ScalarOp::shift_right:
      return b_.CreateLShr(v[0], v[1]);
    case ScalarOp::multiply_high: {
      unsigned bits = type->getScalarSizeInBits();
      llvm::Type* wide = type->getWithNewBitWidth(2 * bits);
      Value* product = b_.CreateMul(b_.CreateZExt(v[0], wide), b_.CreateZExt(v[1], wide));
      return b_.CreateTrunc(b_.CreateLShr(product, llvm::ConstantInt::get(wide, bits)), type);
    }
    case ScalarOp::select:
      return b_.CreateSelect(v[0], v[1], v[2]);
    case ScalarOp::cast:
      return convert(v[0], operand, result);
    case ScalarOp::bitcast: {
      llvm::Type* to = register_type(result);
      if (auto* vector = llvm::dyn_cast<FixedVectorType>(type)) to = FixedVectorType::get(to, vector->getNumElements());
      return b_.CreateBitCast(v[0], to);
    }
    default:
      return emit_math(b_, op, v, target_.has_fma);
  }
}

}  // namespace placewright
