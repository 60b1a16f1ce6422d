#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {

using llvm::FixedVectorType;

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
  Value* mask = mask_of(at, active);
  bool all = active == how_->lanes && !at.condition;
  Value* wide = b_.CreateVectorSplat(static_cast<unsigned>(how_->lanes), outside);
  return {from_memory(load_vector(at, dtype, mask, all, wide), dtype), true};
}

FunctionEmitter::Value* FunctionEmitter::load_vector(const Place& place, DType dtype, Value* mask, bool all,
                                                     Value* outside) {
  llvm::Type* element = memory_type(dtype);
  auto* type = FixedVectorType::get(element, static_cast<unsigned>(how_->lanes));
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  if (place.is_contiguous())
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
  return b_.CreateMaskedGather(type, lane_pointers(place, element), align, mask, outside);
}

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

}  // namespace placewright
