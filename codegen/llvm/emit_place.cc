#include <algorithm>

#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {

using llvm::FixedVectorType;

bool FunctionEmitter::Place::is_contiguous() const {
  for (size_t lane = 0; lane < lane_offsets.size(); ++lane)
    if (lane_offsets[lane] != static_cast<int64_t>(lane)) return false;
  return !lane_offsets.empty();
}

llvm::Type* FunctionEmitter::memory_type(DType dtype) const {
  llvm::LLVMContext& context = module_.getContext();
  if (dtype == DType::f32) return llvm::Type::getFloatTy(context);
  if (dtype == DType::f64) return llvm::Type::getDoubleTy(context);
  return llvm::IntegerType::get(context, static_cast<unsigned>(info(dtype).bits));
}

// A boolean is a byte in memory and one bit in a register.
FunctionEmitter::Value* FunctionEmitter::from_memory(Value* value, DType dtype) {
  return dtype == DType::boolean ? b_.CreateIsNotNull(value) : value;
}

FunctionEmitter::Value* FunctionEmitter::to_memory(Value* value, DType dtype) {
  if (dtype != DType::boolean) return value;
  llvm::Type* type = b_.getInt8Ty();
  if (auto* vector = llvm::dyn_cast<FixedVectorType>(value->getType()))
    type = FixedVectorType::get(type, vector->getNumElements());
  return b_.CreateZExt(value, type);
}

FunctionEmitter::Value* FunctionEmitter::lane_mask(int64_t active) const {
  std::vector<llvm::Constant*> bits;
  for (int lane = 0; lane < how_->lanes; ++lane)
    bits.push_back(llvm::ConstantInt::get(llvm::Type::getInt1Ty(module_.getContext()), lane < active));
  return llvm::ConstantVector::get(bits);
}

int64_t FunctionEmitter::static_offset(const Access& access, const Sizes& point) const {
  return flat_offset(loops_.kernel.buffers[access.buffer], access, point);
}

// Elements between two tiles that stand one position apart; with blocks this holds for whole tiles only.
int64_t FunctionEmitter::base_stride(const Access& access, int dim) const {
  if (how_->tiles[dim] >= stage_->extents[dim]) return 0;  // there is but one tile
  Sizes origin(static_cast<size_t>(stage_->rank()), 0), moved = origin;
  moved[dim] = std::max<int64_t>(how_->tiles[dim], 1);
  int64_t distance = static_offset(access, moved) - static_offset(access, origin);
  PW_CHECK(distance % moved[dim] == 0, "a tile does not fit the blocks of a layout");
  return distance / moved[dim];
}

// Address of the element at the leaf's base position. What does not depend on reduced dimensions is computed outside
// the reduction loops.
FunctionEmitter::Value* FunctionEmitter::base_pointer(int slot) {
  if (Value* known = recall({1, slot})) return known;
  const Access& access = stage_->accesses[slot];
  int64_t size = info(loops_.kernel.buffers[access.buffer].dtype).bits / 8;
  auto displaced = [&](Value* pointer, bool reduced) {
    for (int d = 0; d < stage_->rank(); ++d) {
      if (stage_->reduced[d] != reduced) continue;
      int64_t stride = base_stride(access, d) * size;
      auto* known = llvm::dyn_cast<llvm::ConstantInt>(leaf_[d].base);
      if (stride == 0 || (known && known->isZero())) continue;
      pointer = b_.CreateGEP(b_.getInt8Ty(), pointer, b_.CreateNSWMul(leaf_[d].base, i64(stride)));
    }
    return pointer;
  };
  Value* outer = recall({4, slot});
  if (!outer) outer = displaced(buffers_[access.buffer], false);
  Value* pointer = displaced(outer, true);
  remember({1, slot}, pointer);
  return pointer;
}

FunctionEmitter::Value* FunctionEmitter::index_expression(const AffineExpr& expr, const Sizes& point, bool& vector) {
  Key key{3};
  key.insert(key.end(), expr.coefficients.begin(), expr.coefficients.end());
  Value* base = recall(key);
  if (!base) {
    base = i64(0);
    for (int d = 0; d < stage_->rank(); ++d)
      if (expr.coefficients[d] != 0) base = b_.CreateAdd(base, b_.CreateMul(leaf_[d].base, i64(expr.coefficients[d])));
    remember(key, base);
  }
  int64_t offset = expr.constant;
  for (int d = 0; d < stage_->rank(); ++d) offset += expr.coefficients[d] * point[d];
  Value* value = b_.CreateAdd(base, i64(offset));
  int64_t step = how_->vector_dim < 0 ? 0 : expr.coefficients[how_->vector_dim];
  vector = step != 0;
  if (!vector) return value;
  std::vector<llvm::Constant*> lanes;
  for (int lane = 0; lane < how_->lanes; ++lane) lanes.push_back(llvm::cast<llvm::Constant>(i64(lane * step)));
  return b_.CreateAdd(b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), value),
                      llvm::ConstantVector::get(lanes));
}

void FunctionEmitter::require(Place& place, Value* condition) {
  auto is_vector = [](Value* value) { return value->getType()->isVectorTy(); };
  auto widened = [&](Value* value) {
    return is_vector(value) ? value : b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), value);
  };
  if (!place.condition)
    place.condition = condition;
  else if (is_vector(place.condition) == is_vector(condition))
    place.condition = b_.CreateAnd(place.condition, condition);
  else
    place.condition = b_.CreateAnd(widened(place.condition), widened(condition));
}

void FunctionEmitter::raise_status(Value* violated, Status status, int64_t active) {
  if (violated->getType()->isVectorTy()) {
    if (active < how_->lanes) violated = b_.CreateAnd(violated, lane_mask(active));
    violated = b_.CreateOrReduce(violated);
  }
  may_raise_ = true;
  auto* raise = llvm::BasicBlock::Create(module_.getContext(), "raise", function_);
  auto* after = llvm::BasicBlock::Create(module_.getContext(), "checked", function_);
  b_.CreateCondBr(violated, raise, after);
  b_.SetInsertPoint(raise);
  b_.CreateAtomicRMW(llvm::AtomicRMWInst::Or, status_, i64(static_cast<int64_t>(status)), llvm::MaybeAlign(8),
                     llvm::AtomicOrdering::Monotonic);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

// check_bounds: the flat offset of every lane against the buffer's elements.
void FunctionEmitter::check_place(const KernelBuffer& buffer, const Access& access, const Sizes& point, Place& place) {
  Value* flat = i64(static_offset(access, point));
  for (int d = 0; d < stage_->rank(); ++d)
    if (int64_t stride = base_stride(access, d)) flat = b_.CreateAdd(flat, b_.CreateMul(leaf_[d].base, i64(stride)));
  if (place.vector) {
    std::vector<llvm::Constant*> offsets;
    for (int64_t offset : place.lane_offsets) offsets.push_back(llvm::cast<llvm::Constant>(i64(offset)));
    flat = b_.CreateAdd(b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), flat),
                        llvm::ConstantVector::get(offsets));
  }
  Value* count = llvm::ConstantInt::get(flat->getType(), static_cast<uint64_t>(physical_elements(buffer)));
  Value* inside = b_.CreateICmpULT(flat, count);
  Place refused = place;
  require(refused, b_.CreateNot(inside));
  raise_status(refused.condition, Status::out_of_bounds, active_lanes(point));
  require(place, inside);
}

// Where the block of `step` elements begins that lane 0 stands in, if lanes stand a little apart; and whether the block
// of the last lane lies in the buffer whole.
void FunctionEmitter::set_block(Place& place, const KernelBuffer& buffer, const Access& access, const Sizes& point) {
  int64_t step = place.lane_offsets.size() > 1 ? place.lane_offsets[1] : 1, offset = static_offset(access, point);
  if (step < 2 || step > 4 || offset < 0 || !buffer.layout.is_row_major()) return;
  int64_t last = offset, active = active_lanes(point);
  for (int d = 0; d < stage_->rank(); ++d) {
    int64_t stride = base_stride(access, d);
    if (stride < 0) return;
    // The farthest tile; tails begin nearer.
    int64_t tile = std::max<int64_t>(how_->tiles[d], 1);
    last += stride * (std::max<int64_t>(stage_->extents[d] - 1, 0) / tile * tile);
  }
  place.block_start = offset % step;
  place.block_is_whole = last - offset % step + step * active <= physical_elements(buffer);
}

FunctionEmitter::Place FunctionEmitter::place(BodyKind kind, int slot, const Sizes& point) {
  const Access& access = stage_->accesses[slot];
  const KernelBuffer& buffer = loops_.kernel.buffers[access.buffer];
  bool dynamic = !access.indirect.empty();
  for (const AffineExpr& expr : access.index) {
    dynamic = dynamic || expr.divisor != 1;
    PW_CHECK(expr.divisor == 1 || access.guarded, "an access with a divisor is not guarded");
  }
  if (dynamic) return dynamic_place(kind, slot, point);
  Place place;
  llvm::Type* type = memory_type(buffer.dtype);
  place.pointer = b_.CreateConstGEP1_64(type, base_pointer(slot), static_cast<uint64_t>(static_offset(access, point)));
  if (how_->vector_dim >= 0)
    for (const AffineExpr& expr : access.index) place.vector = place.vector || expr.coefficients[how_->vector_dim] != 0;
  if (place.vector) {
    Sizes lane_point = point;
    for (int lane = 0; lane < how_->lanes; ++lane) {
      lane_point[how_->vector_dim] = point[how_->vector_dim] + lane;
      place.lane_offsets.push_back(static_offset(access, lane_point) - static_offset(access, point));
    }
    set_block(place, buffer, access, point);
  }
  if (access.guarded)
    for (size_t i = 0; i < access.index.size(); ++i) {
      if (stays_in_padding(*stage_, access, buffer, i) || proven_.contains({slot, static_cast<int>(i)})) continue;
      bool vector = false;
      Value* index = index_expression(access.index[i], point, vector);
      Value* size = llvm::ConstantInt::get(index->getType(), static_cast<uint64_t>(buffer.sizes[i]));
      require(place, b_.CreateICmpULT(index, size));
    }
  if (options_.check_bounds) check_place(buffer, access, point, place);
  return place;
}

// Indices that are known only when the kernel runs: indirect ones, and quotients.
FunctionEmitter::Place FunctionEmitter::dynamic_place(BodyKind kind, int slot, const Sizes& point) {
  const Access& access = stage_->accesses[slot];
  const KernelBuffer& buffer = loops_.kernel.buffers[access.buffer];
  const Layout& layout = buffer.layout;
  PW_CHECK(layout.blocks.empty(), "an indirect access to a blocked layout");
  Sizes strides(access.index.size()), physical = row_major_strides(physical_sizes(layout, buffer.sizes));
  for (size_t i = 0; i < strides.size(); ++i) strides[layout.order.empty() ? i : layout.order[i]] = physical[i];
  Place place;
  Value* flat = i64(0);
  Value* bad_index = nullptr;
  auto splat = [&](Value* value) { return b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), value); };
  auto join = [&](Value*& a, Value*& b) {
    if (a->getType()->isVectorTy() && !b->getType()->isVectorTy()) b = splat(b);
    if (b->getType()->isVectorTy() && !a->getType()->isVectorTy()) a = splat(a);
  };
  for (size_t i = 0; i < access.index.size(); ++i) {
    const AffineExpr& expr = access.index[i];
    bool vector = false;
    Value* index = index_expression(expr, point, vector);
    auto number = [&](int64_t value) { return llvm::ConstantInt::get(index->getType(), static_cast<uint64_t>(value)); };
    if (expr.divisor != 1) {
      Value* exact = b_.CreateAnd(b_.CreateICmpSGE(index, number(0)),
                                  b_.CreateICmpEQ(b_.CreateURem(index, number(expr.divisor)), number(0)));
      require(place, exact);
      index = b_.CreateUDiv(index, number(expr.divisor));
    }
    bool indirect = false;
    for (const Access::Indirect& part : access.indirect)
      if (part.dim == static_cast<int>(i)) {
        Emitted added = node(kind, part.node, point);
        DType dtype = body_of(kind)[part.node].dtype;
        Value* value = convert(added.value, dtype, DType::i64);
        join(index, value);
        index = b_.CreateAdd(index, value);
        indirect = true;
      }
    Value* size = llvm::ConstantInt::get(index->getType(), static_cast<uint64_t>(buffer.sizes[i]));
    Value* inside = b_.CreateICmpULT(index, size);
    if (indirect) {
      Value* outside = b_.CreateNot(inside);
      if (bad_index) {
        join(bad_index, outside);
        bad_index = b_.CreateOr(bad_index, outside);
      } else {
        bad_index = outside;
      }
    }
    if (indirect || access.guarded) require(place, inside);
    int64_t low = layout.padding.empty() ? 0 : layout.padding[i].low;
    Value* part =
        b_.CreateMul(b_.CreateAdd(index, llvm::ConstantInt::get(index->getType(), static_cast<uint64_t>(low))),
                     llvm::ConstantInt::get(index->getType(), static_cast<uint64_t>(strides[i])));
    join(flat, part);
    flat = b_.CreateAdd(flat, part);
  }
  if (bad_index) raise_status(bad_index, Status::index_out_of_range, active_lanes(point));
  place.vector = flat->getType()->isVectorTy() || (place.condition && place.condition->getType()->isVectorTy());
  if (place.vector && !flat->getType()->isVectorTy()) flat = splat(flat);
  (place.vector ? place.pointers : place.pointer) =
      b_.CreateGEP(memory_type(buffer.dtype), buffers_[access.buffer], flat);
  return place;
}

// Which lanes are read or written: those in use, inside the buffer.
FunctionEmitter::Value* FunctionEmitter::mask_of(const Place& place, int64_t active) {
  Value* mask = lane_mask(active);
  if (!place.condition) return mask;
  Value* condition = place.condition;
  if (!condition->getType()->isVectorTy())
    condition = b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), condition);
  return active == how_->lanes ? condition : b_.CreateAnd(mask, condition);
}

FunctionEmitter::Value* FunctionEmitter::lane_pointers(const Place& place, llvm::Type* element) {
  if (place.pointers) return place.pointers;
  std::vector<llvm::Constant*> offsets;
  for (int64_t offset : place.lane_offsets) offsets.push_back(llvm::cast<llvm::Constant>(i64(offset)));
  return b_.CreateGEP(element, place.pointer, llvm::ConstantVector::get(offsets));
}

}  // namespace placewright
