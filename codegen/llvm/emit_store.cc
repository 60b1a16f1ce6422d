#include <algorithm>
#include <limits>

#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {

using llvm::FixedVectorType;

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
  Value* mask = mask_of(at, active);
  Value* written = value.value;
  if (store.add) {
    Value* zero = llvm::Constant::getNullValue(FixedVectorType::get(element, static_cast<unsigned>(how_->lanes)));
    Value* before =
        from_memory(load_vector(at, buffer.dtype, mask, active == how_->lanes && !at.condition, zero), buffer.dtype);
    written = arithmetic(ScalarOp::add, buffer.dtype, buffer.dtype, {before, written});
  }
  store_lanes(at, to_memory(written, buffer.dtype), mask, buffer.dtype, active);
}

void FunctionEmitter::store_lanes(const Place& at, Value* value, Value* mask, DType dtype, int64_t active) {
  llvm::Type* element = memory_type(dtype);
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  if (at.is_contiguous()) {
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
  b_.CreateMaskedScatter(value, lane_pointers(at, element), align, mask);
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
