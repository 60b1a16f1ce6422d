#include <algorithm>
#include <bit>
#include <limits>

#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {

using llvm::ArrayRef;
using llvm::FixedVectorType;

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

void FunctionEmitter::require(Place& place, Value* condition, bool) {
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
  require(refused, b_.CreateNot(inside), place.vector);
  raise_status(refused.condition, Status::out_of_bounds, active_lanes(point));
  require(place, inside, place.vector);
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
      require(place, b_.CreateICmpULT(index, size), vector);
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
      require(place, exact, vector);
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
    if (indirect || access.guarded) require(place, inside, vector);
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

FunctionEmitter::Value* FunctionEmitter::load_vector(const Place& place, DType dtype, Value* mask, bool all,
                                                     Value* outside) {
  llvm::Type* element = memory_type(dtype);
  auto* type = FixedVectorType::get(element, static_cast<unsigned>(how_->lanes));
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  bool contiguous = !place.lane_offsets.empty();
  for (size_t lane = 0; lane < place.lane_offsets.size(); ++lane)
    contiguous = contiguous && place.lane_offsets[lane] == static_cast<int64_t>(lane);
  if (contiguous)
    return all ? b_.CreateAlignedLoad(type, place.pointer, align)
               : static_cast<Value*>(b_.CreateMaskedLoad(type, place.pointer, align, mask, outside));
  if (Value* deinterleaved = load_deinterleaved(place, dtype, mask, outside)) return deinterleaved;
  // Lanes that stand apart: one by one where the lanes are known, else a gather.
  if (!place.lane_offsets.empty() && (info(dtype).bits < 32 || target_.vector_bits < 256) &&
      llvm::isa<llvm::Constant>(mask)) {
    Value* vector = outside;
    for (unsigned lane = 0; lane < static_cast<unsigned>(how_->lanes); ++lane) {
      if (llvm::cast<llvm::Constant>(mask)->getAggregateElement(lane)->isNullValue()) continue;
      Value* at = b_.CreateConstGEP1_64(element, place.pointer, static_cast<uint64_t>(place.lane_offsets[lane]));
      vector = b_.CreateInsertElement(vector, b_.CreateAlignedLoad(element, at, align), lane);
    }
    return vector;
  }
  Value* pointers = place.pointers;
  if (!pointers) {
    std::vector<llvm::Constant*> offsets;
    for (int64_t offset : place.lane_offsets) offsets.push_back(llvm::cast<llvm::Constant>(i64(offset)));
    pointers = b_.CreateGEP(element, place.pointer, llvm::ConstantVector::get(offsets));
  }
  return b_.CreateMaskedGather(type, pointers, align, mask, outside);
}

namespace {

// How far apart lanes stand if it is little and the same everywhere, so that whole vectors with a shuffle are cheaper
// than single elements; else 0.
int64_t small_step(const std::vector<int64_t>& lane_offsets) {
  if (lane_offsets.size() < 4 || lane_offsets[1] < 2 || lane_offsets[1] > 4) return 0;
  for (size_t lane = 0; lane < lane_offsets.size(); ++lane)
    if (lane_offsets[lane] != static_cast<int64_t>(lane) * lane_offsets[1]) return 0;
  return lane_offsets[1];
}

}  // namespace

// Lanes that stand 2 to 4 elements apart: the vectors that hold them, and shuffles. Null if they do not, or if it is
// known at run time only which lanes are loaded.
FunctionEmitter::Value* FunctionEmitter::load_deinterleaved(const Place& place, DType dtype, Value* mask,
                                                            Value* outside) {
  int64_t step = small_step(place.lane_offsets), lanes = how_->lanes, active = 0;
  auto* known = llvm::dyn_cast<llvm::Constant>(mask);
  if (step == 0 || !known || options_.check_bounds) return nullptr;
  while (active < lanes && !known->getAggregateElement(static_cast<unsigned>(active))->isNullValue()) ++active;
  if (known != lane_mask(active)) return nullptr;
  if (active == 0) return outside;
  // From a multiple of the step on, and to the next one if the buffer has it: neighbours then share their vectors.
  int64_t skipped = place.block_start, loaded = skipped + step * (active - 1) + 1;
  if (place.block_is_whole) loaded = step * active;
  llvm::Type* element = memory_type(dtype);
  auto* type = FixedVectorType::get(element, static_cast<unsigned>(lanes));
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  Value* result = nullptr;
  for (int64_t first = 0; first < loaded; first += lanes) {
    Value* at = b_.CreateConstGEP1_64(element, place.pointer, static_cast<uint64_t>(first - skipped));
    Value* part = first + lanes <= loaded ? static_cast<Value*>(b_.CreateAlignedLoad(type, at, align))
                                          : b_.CreateMaskedLoad(type, at, align, lane_mask(loaded - first), outside);
    std::vector<int> picked;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      int64_t from = skipped + lane * step - first;
      bool here = lane < active && from >= 0 && from < lanes;
      picked.push_back(static_cast<int>(here ? (result ? lanes : 0) + from : lane));
    }
    result = b_.CreateShuffleVector(result ? result : part, part, picked);
  }
  return active == lanes ? result : b_.CreateSelect(mask, result, outside);
}

// Whether `count` positions along a dimension are neighbours in memory: a layout may have blocks that are shorter.
bool FunctionEmitter::is_run(const Access& access, Sizes first, int along, int64_t count) const {
  int64_t begin = static_offset(access, first);
  first[along] += count - 1;
  return static_offset(access, first) - begin == count - 1;
}

Emitted FunctionEmitter::load(BodyKind kind, int slot, const Sizes& point, DType dtype) {
  const Access& access = stage_->accesses[slot];
  PW_CHECK(dtype == loops_.kernel.buffers[access.buffer].dtype, "a load of another dtype than its buffer's");
  Place at = place(kind, slot, point);
  llvm::Type* element = memory_type(dtype);
  Value* outside = is_floating(dtype)
                       ? llvm::ConstantFP::get(element, access.outside)
                       : llvm::ConstantInt::get(element, static_cast<uint64_t>(static_cast<int64_t>(access.outside)));
  bool vector = at.vector || (at.condition && at.condition->getType()->isVectorTy());
  if (!vector) {
    Value* pointer = at.condition ? b_.CreateSelect(at.condition, at.pointer, spare_) : at.pointer;
    Value* value = b_.CreateAlignedLoad(element, pointer, llvm::Align(static_cast<uint64_t>(info(dtype).bits / 8)));
    if (at.condition) value = b_.CreateSelect(at.condition, value, outside);
    return {from_memory(value, dtype), false};
  }
  if (!at.vector) {  // one element for all lanes, but a condition for each
    at.lane_offsets.assign(static_cast<size_t>(how_->lanes), 0);
    at.vector = true;
  }
  if (Value* transposed = load_transposed(slot, at, point, dtype)) return {from_memory(transposed, dtype), true};
  int64_t active = active_lanes(point);
  Value* mask = lane_mask(active);
  if (at.condition) {
    Value* condition = at.condition;
    if (!condition->getType()->isVectorTy())
      condition = b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), condition);
    mask = active == how_->lanes ? condition : b_.CreateAnd(mask, condition);
  }
  bool all = active == how_->lanes && !at.condition;
  Value* wide = b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), outside);
  return {from_memory(load_vector(at, dtype, mask, all, wide), dtype), true};
}

void FunctionEmitter::store(BodyKind kind, const Store& store, const Sizes& point) {
  const KernelBuffer& buffer = loops_.kernel.buffers[stage_->accesses[store.access].buffer];
  Emitted value = node(kind, store.node, point);
  Place at = place(kind, store.access, point);
  llvm::Type* element = memory_type(buffer.dtype);
  llvm::Align align(static_cast<uint64_t>(info(buffer.dtype).bits / 8));
  if (!at.vector && !value.vector) {
    Value* pointer = at.condition ? b_.CreateSelect(at.condition, at.pointer, spare_) : at.pointer;
    Value* written = value.value;
    if (store.add) {
      Value* before = from_memory(b_.CreateAlignedLoad(element, pointer, align), buffer.dtype);
      written = arithmetic(ScalarOp::add, buffer.dtype, buffer.dtype, {before, written});
    }
    b_.CreateAlignedStore(to_memory(written, buffer.dtype), pointer, align);
    return;
  }
  PW_CHECK(at.vector, "a store that lanes share");
  if (!value.vector) value = {widen(value.value), true};
  int64_t active = active_lanes(point);
  Value* mask = lane_mask(active);
  if (at.condition) {
    Value* condition = at.condition;
    if (!condition->getType()->isVectorTy())
      condition = b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), condition);
    mask = b_.CreateAnd(mask, condition);
  }
  Value* written = value.value;
  if (store.add) {
    Value* zero = llvm::Constant::getNullValue(FixedVectorType::get(element, static_cast<unsigned>(how_->lanes)));
    Value* before =
        from_memory(load_vector(at, buffer.dtype, mask, active == how_->lanes && !at.condition, zero), buffer.dtype);
    written = arithmetic(ScalarOp::add, buffer.dtype, buffer.dtype, {before, written});
  }
  store_lanes(store, at, to_memory(written, buffer.dtype), mask, buffer.dtype, active);
}

void FunctionEmitter::store_lanes(const Store&, const Place& at, Value* value, Value* mask, DType dtype,
                                  int64_t active) {
  llvm::Type* element = memory_type(dtype);
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  bool contiguous = !at.lane_offsets.empty();
  for (size_t lane = 0; lane < at.lane_offsets.size(); ++lane)
    contiguous = contiguous && at.lane_offsets[lane] == static_cast<int64_t>(lane);
  if (contiguous) {
    if (active == how_->lanes && !at.condition)
      b_.CreateAlignedStore(value, at.pointer, align);
    else
      b_.CreateMaskedStore(value, at.pointer, align, mask);
    return;
  }
  if (!at.lane_offsets.empty() && !at.condition) {
    for (unsigned lane = 0; lane < static_cast<unsigned>(active); ++lane) {
      Value* pointer = b_.CreateConstGEP1_64(element, at.pointer, static_cast<uint64_t>(at.lane_offsets[lane]));
      b_.CreateAlignedStore(b_.CreateExtractElement(value, lane), pointer, align);
    }
    return;
  }
  Value* pointers = at.pointers;
  if (!pointers) {
    std::vector<llvm::Constant*> offsets;
    for (int64_t offset : at.lane_offsets) offsets.push_back(llvm::cast<llvm::Constant>(i64(offset)));
    pointers = b_.CreateGEP(element, at.pointer, llvm::ConstantVector::get(offsets));
  }
  b_.CreateMaskedScatter(value, pointers, align, mask);
}

// A tile of results whose lanes stand apart is put down as it is and then copied by a loop that looks up where each
// element goes: LLVM would need longer for hundreds of extracted lanes than for the whole reduction.
bool FunctionEmitter::store_scattered(BodyKind kind, const Store& store, const std::vector<Sizes>& points) {
  constexpr int64_t least_elements = 64;  // fewer are stored at once
  const Access& access = stage_->accesses[store.access];
  const KernelBuffer& buffer = loops_.kernel.buffers[access.buffer];
  int v = how_->vector_dim;
  bool is_static = !access.guarded && access.indirect.empty() && buffer.layout.blocks.empty();
  for (const AffineExpr& expr : access.index) is_static = is_static && expr.divisor == 1;
  if (kind != BodyKind::epilogue || store.add || options_.check_bounds || v < 0 || stage_->reduced[v] || !is_static)
    return false;
  Sizes origin(static_cast<size_t>(stage_->rank()), 0), moved = origin;
  moved[v] = 1;
  if (static_offset(access, moved) - static_offset(access, origin) == 1) return false;
  std::vector<uint32_t> from, to;
  for (size_t p = 0; p < points.size(); ++p)
    for (int64_t lane = 0; lane < active_lanes(points[p]); ++lane) {
      moved = points[p];
      moved[v] += lane;
      int64_t offset = static_offset(access, moved);
      if (offset < 0 || offset > std::numeric_limits<int32_t>::max()) return false;
      from.push_back(static_cast<uint32_t>(static_cast<int64_t>(p) * how_->lanes + lane));
      to.push_back(static_cast<uint32_t>(offset));
    }
  auto count = static_cast<int64_t>(to.size());
  if (count < least_elements) return false;

  llvm::Type* element = memory_type(buffer.dtype);
  auto* vector = FixedVectorType::get(element, static_cast<unsigned>(how_->lanes));
  llvm::IRBuilder<> entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  Value* tile = entry.CreateAlloca(vector, entry.getInt64(points.size()));
  for (size_t p = 0; p < points.size(); ++p) {
    Emitted value = node(kind, store.node, points[p]);
    b_.CreateStore(to_memory(value.vector ? value.value : widen(value.value), buffer.dtype),
                   b_.CreateConstGEP1_64(vector, tile, p));
  }
  auto table = [&](const std::vector<uint32_t>& numbers) {
    llvm::Constant* content = llvm::ConstantDataArray::get(module_.getContext(), numbers);
    return new llvm::GlobalVariable(module_, content->getType(), true, llvm::GlobalValue::PrivateLinkage, content);
  };
  const bool is_full = from.back() + 1 == from.size();  // no lane is left out: elements follow each other
  Value *sources = is_full ? nullptr : table(from), *targets = table(to), *base = base_pointer(store.access);
  llvm::Align align(static_cast<uint64_t>(info(buffer.dtype).bits / 8));
  const int64_t together = count % 4 == 0 ? 4 : count % 2 == 0 ? 2 : 1;
  make_loop(i64(0), i64(count), together, [&](Value* at) {
    for (int64_t i = 0; i < together; ++i) {
      Value* number = b_.CreateAdd(at, i64(i));
      auto look_up = [&](Value* numbers) -> Value* {
        if (!numbers) return number;
        Value* place = b_.CreateGEP(b_.getInt32Ty(), numbers, number);
        return b_.CreateZExt(b_.CreateAlignedLoad(b_.getInt32Ty(), place, llvm::Align(4)), b_.getInt64Ty());
      };
      Value* value = b_.CreateAlignedLoad(element, b_.CreateGEP(element, tile, look_up(sources)), align);
      b_.CreateAlignedStore(value, b_.CreateGEP(element, base, look_up(targets)), align);
    }
  });
  return true;
}

// The stores that fill each other's gaps: `first` and those after it that write the elements between its lanes. Empty
// if there are none such.
std::vector<Store> FunctionEmitter::interleaved_with(const std::vector<Store>& stores, size_t first) const {
  const Access& access = stage_->accesses[stores[first].access];
  const KernelBuffer& buffer = loops_.kernel.buffers[access.buffer];
  int v = how_->vector_dim;
  auto simple = [&](const Store& one) {
    const Access& its = stage_->accesses[one.access];
    return !one.add && !its.guarded && its.indirect.empty() && its.buffer == access.buffer;
  };
  if (v < 0 || !buffer.layout.is_row_major() || options_.check_bounds || !simple(stores[first])) return {};
  Sizes origin(static_cast<size_t>(stage_->rank()), 0), moved = origin;
  moved[v] = 1;
  int64_t step = static_offset(access, moved) - static_offset(access, origin);
  if (step < 2 || step > 4 || how_->lanes < 4) return {};
  std::vector<Store> group{stores[first]};
  while (static_cast<int64_t>(group.size()) < step) {
    auto next = std::find_if(stores.begin(), stores.end(), [&](const Store& one) {
      const Access& its = stage_->accesses[one.access];
      if (!simple(one)) return false;
      for (size_t i = 0; i < its.index.size(); ++i)
        if (its.index[i].coefficients != access.index[i].coefficients || its.index[i].divisor != 1) return false;
      return static_offset(its, origin) == static_offset(access, origin) + static_cast<int64_t>(group.size());
    });
    if (next == stores.end()) return {};
    group.push_back(*next);
  }
  return group;
}

void FunctionEmitter::store_interleaved(BodyKind kind, const std::vector<Store>& group, const Sizes& point) {
  const Access& access = stage_->accesses[group[0].access];
  DType dtype = loops_.kernel.buffers[access.buffer].dtype;
  llvm::Type* element = memory_type(dtype);
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  Place at = place(kind, group[0].access, point);
  int64_t lanes = how_->lanes, step = static_cast<int64_t>(group.size()), count = step * active_lanes(point);
  std::vector<Value*> values;
  for (const Store& one : group) {
    Emitted value = node(kind, one.node, point);
    values.push_back(to_memory(value.vector ? value.value : widen(value.value), dtype));
  }
  for (int64_t first = 0; first < count; first += lanes) {
    Value* row = values[0];
    for (int64_t which = 0; which < step; ++which) {
      std::vector<int> picked;
      for (int64_t i = 0; i < lanes; ++i) {
        int64_t lane = (first + i) / step;
        bool mine = (first + i) % step == which;
        picked.push_back(static_cast<int>(which == 0 ? lane : mine ? lanes + lane : i));
      }
      row = b_.CreateShuffleVector(row, values[static_cast<size_t>(which)], picked);
    }
    Value* pointer = b_.CreateConstGEP1_64(element, at.pointer, static_cast<uint64_t>(first));
    if (first + lanes <= count)
      b_.CreateAlignedStore(row, pointer, align);
    else
      b_.CreateMaskedStore(row, pointer, align, lane_mask(count - first));
  }
}

}  // namespace placewright
