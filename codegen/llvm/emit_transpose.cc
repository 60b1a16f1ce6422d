// Blocks of elements that are transposed in registers: on their way from memory, where lanes stand apart and another
// dimension is contiguous, and on their way back.
#include <algorithm>
#include <bit>

#include "function_emitter.h"

namespace placewright {

using llvm::FixedVectorType;

namespace {

// Elements of vectors taken by turns, the low half of each part of `part` elements and then the high half: unpacking.
// The index of an element in the whole sequence is (row, place in its part) in bits; each round rotates it by one bit.
std::vector<llvm::Value*> interleave(llvm::IRBuilder<>& b, std::vector<llvm::Value*> rows, int part) {
  auto lanes = static_cast<int>(llvm::cast<FixedVectorType>(rows[0]->getType())->getNumElements());
  std::vector<int> low, high;
  for (int i = 0; i < lanes; ++i) {
    int place = i % part;
    low.push_back(i - place + place / 2 + (place % 2 ? lanes : 0));
    high.push_back(low.back() + part / 2);
  }
  for (size_t round = 1; round < rows.size(); round *= 2) {
    std::vector<llvm::Value*> next;
    for (size_t i = 0; i < rows.size() / 2; ++i) {
      next.push_back(b.CreateShuffleVector(rows[i], rows[i + rows.size() / 2], low));
      next.push_back(b.CreateShuffleVector(rows[i], rows[i + rows.size() / 2], high));
    }
    rows = std::move(next);
  }
  return rows;
}

// Vectors behind each other in one.
llvm::Value* concatenate(llvm::IRBuilder<>& b, std::vector<llvm::Value*> parts) {
  while (parts.size() > 1) {
    auto elements = static_cast<int>(llvm::cast<FixedVectorType>(parts[0]->getType())->getNumElements());
    std::vector<int> both;
    for (int i = 0; i < 2 * elements; ++i) both.push_back(i);
    std::vector<llvm::Value*> joined;
    for (size_t i = 0; i < parts.size(); i += 2) joined.push_back(b.CreateShuffleVector(parts[i], parts[i + 1], both));
    parts = std::move(joined);
  }
  return parts[0];
}

}  // namespace

// Lanes stand apart while another dimension that the leaf unrolls is contiguous: each lane's run of elements is loaded
// whole, and transposed in registers, for this point and those beside it. Null if the access is another.
FunctionEmitter::Value* FunctionEmitter::load_transposed(int slot, const Place& at, const Sizes& point, DType dtype) {
  const Access& access = stage_->accesses[slot];
  if (at.lane_offsets.empty() || at.condition || options_.check_bounds || info(dtype).bits < 32 || how_->lanes < 4)
    return nullptr;
  Sizes origin(static_cast<size_t>(stage_->rank()), 0), moved = origin;
  auto stride = [&](int d) {
    moved = origin;
    moved[d] = 1;
    return static_offset(access, moved) - static_offset(access, origin);
  };
  int along = -1;
  for (int d = 0; d < stage_->rank(); ++d)
    if (d != how_->vector_dim && leaf_[d].tile >= 2 && stride(d) == 1) along = d;
  if (along < 0 || stride(how_->vector_dim) == 1) return nullptr;
  int64_t tile = leaf_[along].tile;
  bool is_dense = tile <= 4 && std::has_single_bit(static_cast<uint64_t>(tile)) && at.lane_offsets[1] == tile;
  if (tile < 4 && !is_dense) return nullptr;
  // The last piece of a run ends where the run ends.
  int64_t piece = is_dense ? tile : 128 / info(dtype).bits;
  Sizes first = point;
  first[along] = std::min(point[along] - point[along] % piece, tile - piece);
  if (!is_run(access, first, along, piece)) return nullptr;
  auto key_of = [&](int64_t position) {
    Key key{5, slot};
    key.insert(key.end(), point.begin(), point.end());
    key[key.size() - point.size() + static_cast<size_t>(along)] = position;
    return key;
  };
  if (Value* known = recall(key_of(point[along]))) return known;
  Place from = at;
  from.pointer =
      b_.CreateConstGEP1_64(memory_type(dtype), at.pointer, static_cast<uint64_t>(first[along] - point[along]));
  int64_t active = active_lanes(point);
  std::vector<Value*> columns = is_dense ? load_dense(from, dtype, tile, active) : load_pieces(from, dtype, active);
  for (int64_t i = 0; i < piece; ++i) remember(key_of(first[along] + i), columns[static_cast<size_t>(i)]);
  return recall(key_of(point[along]));
}

// Runs of 128 bits, loaded straight into the 128-bit parts of vectors so that what is left to transpose stays inside of
// the parts, where processors shuffle fastest.
std::vector<llvm::Value*> FunctionEmitter::load_pieces(const Place& at, DType dtype, int64_t active) {
  llvm::Type* element = memory_type(dtype);
  int64_t piece = 128 / info(dtype).bits;
  auto* run = FixedVectorType::get(element, static_cast<unsigned>(piece));
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  std::vector<Value*> rows;
  for (int64_t first = 0; first < piece; ++first) {
    std::vector<Value*> parts;
    for (int64_t lane = first; lane < how_->lanes; lane += piece) {
      auto offset = static_cast<uint64_t>(at.lane_offsets[static_cast<size_t>(lane)]);
      Value* from = b_.CreateConstGEP1_64(element, at.pointer, offset);
      parts.push_back(lane < active ? static_cast<Value*>(b_.CreateAlignedLoad(run, from, align))
                                    : llvm::Constant::getNullValue(run));
    }
    rows.push_back(concatenate(b_, std::move(parts)));
  }
  return interleave(b_, std::move(rows), static_cast<int>(piece));
}

// Runs of `count` elements, a power of two, without gaps between them: whole vectors, and elements parted by turns.
std::vector<llvm::Value*> FunctionEmitter::load_dense(const Place& at, DType dtype, int64_t count, int64_t active) {
  llvm::Type* element = memory_type(dtype);
  int64_t lanes = how_->lanes, left = count * active;
  auto* whole = FixedVectorType::get(element, static_cast<unsigned>(lanes));
  llvm::Align align(static_cast<uint64_t>(info(dtype).bits / 8));
  Value* none = llvm::Constant::getNullValue(whole);
  std::vector<Value*> rows;
  for (int64_t i = 0; i < count; ++i, left -= lanes) {
    Value* from = b_.CreateConstGEP1_64(element, at.pointer, static_cast<uint64_t>(i * lanes));
    rows.push_back(left <= 0       ? none
                   : left >= lanes ? static_cast<Value*>(b_.CreateAlignedLoad(whole, from, align))
                                   : b_.CreateMaskedLoad(whole, from, align, lane_mask(left), none));
  }
  // The index of an element in the whole sequence is (lane, place in its run) in bits; each round, which parts even
  // elements from odd ones, rotates it by one bit.
  std::vector<int> even, odd;
  for (int i = 0; i < lanes; ++i) {
    even.push_back(2 * i);
    odd.push_back(2 * i + 1);
  }
  for (int64_t round = 1; round < count; round *= 2) {
    std::vector<Value*> next(rows.size());
    for (size_t i = 0; i < rows.size() / 2; ++i) {
      next[i] = b_.CreateShuffleVector(rows[2 * i], rows[2 * i + 1], even);
      next[i + rows.size() / 2] = b_.CreateShuffleVector(rows[2 * i], rows[2 * i + 1], odd);
    }
    rows = std::move(next);
  }
  return rows;
}

// Large tiles are interleaved in a function of their own, which takes and gives registers: LLVM needs five milliseconds
// for each copy of the shuffles of 16 x 16.
std::vector<llvm::Value*> FunctionEmitter::transpose(const std::vector<Value*>& rows) {
  auto* vector = llvm::cast<FixedVectorType>(rows[0]->getType());
  auto lanes = static_cast<int>(vector->getNumElements());
  if (rows.size() < 8 || rows.size() > 16) return interleave(b_, rows, lanes);
  std::string name;
  llvm::raw_string_ostream(name) << "transpose_" << rows.size() << "_" << *vector;
  llvm::Function* made = module_.getFunction(name);
  if (!made) {
    std::vector<llvm::Type*> types(rows.size(), vector);
    llvm::StructType* result = llvm::StructType::get(module_.getContext(), types);
    made = llvm::Function::Create(llvm::FunctionType::get(result, types, false), llvm::Function::InternalLinkage, name,
                                  module_);
    made->copyAttributesFrom(function_);
    made->setDSOLocal(true);
    made->setCallingConv(llvm::CallingConv::X86_RegCall);
    made->addFnAttr(llvm::Attribute::NoInline);
    llvm::IRBuilder<> inside(llvm::BasicBlock::Create(module_.getContext(), "entry", made));
    std::vector<Value*> arguments;
    for (llvm::Argument& argument : made->args()) arguments.push_back(&argument);
    inside.CreateAggregateRet(interleave(inside, arguments, lanes).data(), static_cast<unsigned>(rows.size()));
  }
  llvm::CallInst* call = b_.CreateCall(made, rows);
  call->setCallingConv(llvm::CallingConv::X86_RegCall);
  std::vector<Value*> transposed;
  for (unsigned i = 0; i < rows.size(); ++i) transposed.push_back(b_.CreateExtractValue(call, i));
  return transposed;
}

// Results whose lanes stand apart while another dimension of the tile is contiguous: tiles of T points are transposed
// in registers, so that each lane stores T elements at once. False if the store is of another kind.
bool FunctionEmitter::store_transposed(BodyKind kind, const Store& store, const std::vector<Sizes>& points) {
  const Access& access = stage_->accesses[store.access];
  const KernelBuffer& buffer = loops_.kernel.buffers[access.buffer];
  int v = how_->vector_dim;
  if (store.add || v < 0 || options_.check_bounds || points.empty() || stage_->reduced[v]) return false;
  Sizes origin(static_cast<size_t>(stage_->rank()), 0), moved = origin;
  moved[v] = 1;
  if (static_offset(access, moved) - static_offset(access, origin) == 1) return false;
  int along = -1;
  for (int d = 0; d < stage_->rank(); ++d) {
    moved = origin;
    moved[d] = 1;
    if (d != v && !stage_->reduced[d] && leaf_[d].tile > 1 &&
        static_offset(access, moved) - static_offset(access, origin) == 1)
      along = d;
  }
  if (along < 0 || access.guarded || !access.indirect.empty()) return false;
  if (!is_run(access, origin, along, std::min<int64_t>(how_->lanes, leaf_[along].tile))) return false;
  int64_t lanes = how_->lanes;
  llvm::Type* element = memory_type(buffer.dtype);
  llvm::Align align(static_cast<uint64_t>(info(buffer.dtype).bits / 8));
  for (const Sizes& first : points) {
    if (first[along] % lanes != 0) continue;
    int64_t count = std::min(lanes, leaf_[along].tile - first[along]);
    int64_t rows = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)));
    std::vector<Value*> vectors;
    Sizes point = first;
    for (int64_t i = 0; i < count; ++i) {
      point[along] = first[along] + i;
      Emitted value = node(kind, store.node, point);
      vectors.push_back(to_memory(value.vector ? value.value : widen(value.value), buffer.dtype));
    }
    vectors.resize(static_cast<size_t>(rows), llvm::PoisonValue::get(vectors[0]->getType()));
    vectors = transpose(vectors);
    Place at = place(kind, store.access, first);
    if (count == rows && at.lane_offsets[1] == count) {  // no gaps between the lanes' elements: whole vectors
      for (int64_t left = count * active_lanes(first), i = 0; left > 0; left -= lanes, ++i) {
        Value* pointer = b_.CreateConstGEP1_64(element, at.pointer, static_cast<uint64_t>(i * lanes));
        if (left >= lanes)
          b_.CreateAlignedStore(vectors[static_cast<size_t>(i)], pointer, align);
        else
          b_.CreateMaskedStore(vectors[static_cast<size_t>(i)], pointer, align, lane_mask(left));
      }
      continue;
    }
    for (int64_t lane = 0; lane < active_lanes(first); ++lane) {
      Value* row = vectors[static_cast<size_t>(lane * rows / lanes)];
      std::vector<int> part;
      for (int64_t i = 0; i < count; ++i) part.push_back(static_cast<int>(lane * rows % lanes + i));
      if (count < rows && lane * rows % lanes + rows <= lanes) {  // whole registers shuffle and store cheaper
        part.clear();
        for (int64_t i = 0; i < rows; ++i) part.push_back(static_cast<int>(lane * rows % lanes + i));
      }
      if (static_cast<int64_t>(part.size()) != lanes) row = b_.CreateShuffleVector(row, part);
      Value* pointer = b_.CreateConstGEP1_64(element, at.pointer, static_cast<uint64_t>(at.lane_offsets[lane]));
      if (static_cast<int64_t>(part.size()) == count) {
        b_.CreateAlignedStore(row, pointer, align);
        continue;
      }
      std::vector<llvm::Constant*> bits;
      for (size_t i = 0; i < part.size(); ++i) bits.push_back(b_.getInt1(static_cast<int64_t>(i) < count));
      b_.CreateMaskedStore(row, pointer, align, llvm::ConstantVector::get(bits));
    }
  }
  return true;
}

}  // namespace placewright
