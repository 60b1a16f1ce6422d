#include <algorithm>

#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {

namespace {

// A tile that unrolls to more points than this is a bad schedule, and would take minutes to compile.
constexpr size_t most_points = 8192;

}  // namespace

int64_t FunctionEmitter::active_lanes(const Sizes& point) const {
  if (how_->vector_dim < 0) return 1;
  return std::min<int64_t>(how_->lanes, leaf_[how_->vector_dim].tile - point[how_->vector_dim]);
}

bool FunctionEmitter::vector_dim_is_reduced() const {
  return how_->vector_dim >= 0 && stage_->reduced[how_->vector_dim];
}

// Offsets of the points that the leaf unrolls: of the parallel or of the reduced dimensions. Along the vector dimension
// a point stands for `lanes` elements. That dimension is innermost: an operand that lanes share is then used up at
// once, where it would otherwise wait in a register for each of the vectors.
std::vector<Sizes> FunctionEmitter::tile_points(bool reduced) const {
  std::vector<Sizes> points{Sizes(static_cast<size_t>(stage_->rank()), 0)};
  std::vector<int> order;
  for (int d = 0; d < stage_->rank(); ++d)
    if (stage_->reduced[d] == reduced && d != how_->vector_dim) order.push_back(d);
  if (how_->vector_dim >= 0 && stage_->reduced[how_->vector_dim] == reduced) order.push_back(how_->vector_dim);
  for (int d : order) {
    std::vector<Sizes> longer;
    for (const Sizes& point : points)
      for (int64_t at = 0; at < leaf_[d].tile; at += d == how_->vector_dim ? how_->lanes : 1) {
        longer.push_back(point);
        longer.back()[d] = at;
      }
    points = std::move(longer);
    if (points.size() > most_points)
      throw Error("kernel " + loops_.kernel.name + ", stage " + stage_->name +
                  ": the schedule unrolls more than 8192 points; give its dimensions loops with smaller steps");
  }
  return points;
}

uint64_t FunctionEmitter::dependencies(const Access& access, BodyKind kind) {
  uint64_t dims = 0;
  for (const AffineExpr& expr : access.index)
    for (int d = 0; d < stage_->rank(); ++d)
      if (expr.coefficients[d] != 0) dims |= uint64_t{1} << d;
  for (const Access::Indirect& part : access.indirect) dims |= dependencies(kind, part.node);
  return dims;
}

// The dimensions that a node's value depends on, as a set of bits.
uint64_t FunctionEmitter::dependencies(BodyKind kind, int number) {
  auto [known, is_new] = dependencies_.try_emplace({static_cast<int>(kind), number}, 0);
  if (!is_new) return known->second;
  const ScalarNode& node = body_of(kind)[number];
  uint64_t dims = 0;
  for (int operand : node.operands)
    if (operand >= 0) dims |= dependencies(kind, operand);
  if (node.op == ScalarOp::index) dims |= uint64_t{1} << node.slot;
  if (node.op == ScalarOp::load) dims |= dependencies(stage_->accesses[node.slot], kind);
  if (node.op == ScalarOp::reduced)
    for (int d = 0; d < stage_->rank(); ++d)
      if (!stage_->reduced[d]) dims |= uint64_t{1} << d;
  dependencies_[{static_cast<int>(kind), number}] = dims;
  return dims;
}

void FunctionEmitter::emit_leaf(const LoopNode& node) {
  const Stage& stage = loops_.kernel.stages[node.stage];
  LoopStage how = loops_.stages[node.stage];
  if (how.lanes == 1) how.vector_dim = -1;
  stage_ = &stage;
  how_ = &how;
  leaf_.clear();
  for (int d = 0; d < stage.rank(); ++d) {
    auto open = dims_.find(d);
    leaf_.push_back(open != dims_.end() ? open->second : DimState{i64(0), stage.extents[d]});
  }
  memo_.assign(1, {});
  dependencies_.clear();
  reduced_at_.clear();
  points_ = tile_points(false);
  for (int slot = 0; slot < static_cast<int>(stage.accesses.size()); ++slot) {
    Value* pointer = buffers_[stage.accesses[slot].buffer];
    int64_t size = info(loops_.kernel.buffers[stage.accesses[slot].buffer].dtype).bits / 8;
    for (int d = 0; d < stage.rank(); ++d) {
      int64_t stride = stage.reduced[d] ? 0 : base_stride(stage.accesses[slot], d) * size;
      auto* known = llvm::dyn_cast<llvm::ConstantInt>(leaf_[d].base);
      if (stride != 0 && !(known && known->isZero()))
        pointer = b_.CreateGEP(b_.getInt8Ty(), pointer, b_.CreateNSWMul(leaf_[d].base, i64(stride)));
    }
    remember({4, slot}, pointer);
  }
  if (stage.has_reduction())
    emit_reduction(node);
  else
    store_points(BodyKind::body, stage.stores, points_);
  memo_.assign(1, {});
  how_ = nullptr;
}

// All values of a point are computed before its first store, so that a result may stand in an operand's place.
void FunctionEmitter::store_points(BodyKind kind, const std::vector<Store>& stores, const std::vector<Sizes>& points) {
  if (how_->transposed_store)
    for (const Sizes& point : points)
      for (const Store& one : stores) node(kind, one.node, point);
  if (stores.size() == 1 && !how_->transposed_store && store_scattered(kind, stores[0], points)) return;
  std::vector<Store> plain;
  for (const Store& one : stores)
    if (!how_->transposed_store || !store_transposed(kind, one, points)) plain.push_back(one);
  std::vector<std::vector<Store>> groups;
  for (size_t i = 0; i < plain.size();) {
    std::vector<Store> group = interleaved_with(plain, i);
    if (group.empty()) {
      ++i;
      continue;
    }
    std::erase_if(plain, [&](const Store& one) { return std::find(group.begin(), group.end(), one) != group.end(); });
    groups.push_back(std::move(group));
    i = 0;
  }
  for (const Sizes& point : points) {
    for (const std::vector<Store>& group : groups)
      for (const Store& one : group) node(kind, one.node, point);
    for (const Store& one : plain) node(kind, one.node, point);
    for (const std::vector<Store>& group : groups) store_interleaved(kind, group, point);
    for (const Store& one : plain) store(kind, one, point);
  }
}

// What the body computes without reduced dimensions is computed once, before the reduction loops.
void FunctionEmitter::hoist_invariants() {
  uint64_t reduced = 0;
  for (int d = 0; d < stage_->rank(); ++d)
    if (stage_->reduced[d]) reduced |= uint64_t{1} << d;
  for (int number = 0; number < static_cast<int>(stage_->body.size()); ++number) {
    if (stage_->body[number].op == ScalarOp::constant || dependencies(BodyKind::body, number) & reduced) continue;
    for (const Sizes& point : points_) node(BodyKind::body, number, point);
  }
}

void FunctionEmitter::emit_reduction(const LoopNode& leaf) {
  const Reduction& reduction = stage_->reduction;
  size_t states = reduction.dtypes.size(), partials = static_cast<size_t>(std::max(how_->partial_accumulators, 1));
  hoist_invariants();
  std::vector<Value*> initial;
  for (const ScalarNode& init : reduction.init) {
    Value* value = constant(init);
    initial.push_back(how_->vector_dim >= 0 ? widen(value) : value);
  }
  std::vector<Value*> all;
  for (size_t i = 0; i < points_.size() * partials; ++i) all.insert(all.end(), initial.begin(), initial.end());
  all = reduce_loops(leaf.reductions, 0, std::move(all));
  for (size_t p = 0; p < points_.size(); ++p) {
    auto part = [&](size_t i) {
      auto begin = all.begin() + static_cast<std::ptrdiff_t>((p * partials + i) * states);
      return std::vector<Value*>(begin, begin + static_cast<std::ptrdiff_t>(states));
    };
    std::vector<std::vector<Value*>> parts;
    for (size_t i = 0; i < partials; ++i) parts.push_back(part(i));
    for (size_t half = partials / 2; half >= 1; half /= 2)
      for (size_t i = 0; i < half; ++i) parts[i] = combine(parts[i], parts[i + half]);
    std::vector<Value*> joined = std::move(parts[0]);
    if (vector_dim_is_reduced()) joined = join_lanes(std::move(joined));
    std::vector<Emitted>& results = reduced_at_[points_[p]];
    for (Value* value : joined) results.push_back({value, value->getType()->isVectorTy()});
  }
  for (int d = 0; d < stage_->rank(); ++d)
    if (stage_->reduced[d]) leaf_[d] = {i64(0), 0};
  store_points(BodyKind::epilogue, stage_->epilogue_stores, points_);
}

// The part of a loop over the reduced dimension `dim` whose points add something: a sum of products with a guarded
// factor, zero outside of its buffer, where one index is decided by this loop and the tile's place alone. Nothing if
// there is no such factor.
FunctionEmitter::Clip FunctionEmitter::clip_reduction(int dim) {
  const Reduction& reduction = stage_->reduction;
  Clip clip;
  if (reduction.kind != Reduction::Kind::sum) return clip;
  const ScalarNode& fed = stage_->body[reduction.values[0]];
  if (fed.op != ScalarOp::mul || !is_floating(fed.dtype)) return clip;
  for (int operand : {fed.operands[0], fed.operands[1]}) {
    const ScalarNode& factor = stage_->body[operand];
    if (factor.op != ScalarOp::load) continue;
    const Access& access = stage_->accesses[factor.slot];
    const KernelBuffer& buffer = loops_.kernel.buffers[access.buffer];
    for (size_t i = 0; i < access.index.size(); ++i) {
      if (!is_clipped_by(*stage_, access, i, dim) || stays_in_padding(*stage_, access, buffer, i)) continue;
      Value* rest = i64(access.index[i].constant);
      bool alone = true;
      for (int d = 0; d < stage_->rank(); ++d) {
        int64_t coefficient = access.index[i].coefficients[d];
        if (d == dim || coefficient == 0) continue;
        alone = alone && d != how_->vector_dim && leaf_[d].tile == 1;
        rest = b_.CreateAdd(rest, b_.CreateMul(leaf_[d].base, i64(coefficient)));
      }
      if (!alone) continue;
      bool forward = access.index[i].coefficients[dim] == 1;
      Value* size = i64(buffer.sizes[i]);
      Value* low = forward ? b_.CreateNeg(rest) : b_.CreateAdd(b_.CreateSub(rest, size), i64(1));
      Value* high = forward ? b_.CreateSub(size, rest) : b_.CreateAdd(rest, i64(1));
      if (!clip.low) clip.low = i64(0), clip.high = i64(stage_->extents[dim]);
      clip.low = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, clip.low, low);
      clip.high = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, clip.high, high);
      clip.proven.emplace_back(factor.slot, static_cast<int>(i));
    }
  }
  return clip;
}

std::vector<llvm::Value*> FunctionEmitter::reduce_loops(const std::vector<Loop>& reductions, size_t depth,
                                                        std::vector<Value*> states) {
  if (depth == reductions.size()) return reduce_tile(std::move(states));
  auto [dim, step, binding] = reductions[depth];
  int64_t extent = stage_->extents[dim], tail = extent % step, full = extent - tail;
  auto run = [&](Value* at, int64_t tile) {
    DimState before = std::exchange(leaf_[dim], DimState{at, tile});
    memo_.emplace_back();
    states = reduce_loops(reductions, depth + 1, std::move(states));
    memo_.pop_back();
    leaf_[dim] = before;
  };
  Clip clip = step == 1 ? clip_reduction(dim) : Clip{};
  if (clip.low) proven_.insert(clip.proven.begin(), clip.proven.end());
  if (!clip.low && full == step) run(i64(0), step);
  if (clip.low || full > step) {
    auto* loop = llvm::BasicBlock::Create(module_.getContext(), "reduce", function_);
    auto* exit = llvm::BasicBlock::Create(module_.getContext(), "reduced", function_);
    llvm::BasicBlock* before = b_.GetInsertBlock();
    std::vector<Value*> initial = states;
    Value *low = clip.low ? clip.low : i64(0), *high = clip.low ? clip.high : i64(full);
    if (clip.low)
      b_.CreateCondBr(b_.CreateICmpSLT(low, high), loop, exit);
    else
      b_.CreateBr(loop);
    b_.SetInsertPoint(loop);
    llvm::PHINode* at = b_.CreatePHI(b_.getInt64Ty(), 2);
    at->addIncoming(low, before);
    std::vector<llvm::PHINode*> carried;
    for (Value*& state : states) {
      carried.push_back(b_.CreatePHI(state->getType(), 2));
      carried.back()->addIncoming(state, before);
      state = carried.back();
    }
    run(at, step);
    Value* next = b_.CreateNSWAdd(at, i64(step));
    at->addIncoming(next, b_.GetInsertBlock());
    for (size_t i = 0; i < states.size(); ++i) carried[i]->addIncoming(states[i], b_.GetInsertBlock());
    llvm::BasicBlock* latch = b_.GetInsertBlock();
    b_.CreateCondBr(b_.CreateICmpSLT(next, high), loop, exit);
    b_.SetInsertPoint(exit);
    for (size_t i = 0; clip.low && i < states.size(); ++i) {
      llvm::PHINode* joined = b_.CreatePHI(states[i]->getType(), 2);
      joined->addIncoming(initial[i], before);
      joined->addIncoming(states[i], latch);
      states[i] = joined;
    }
  }
  for (const auto& known : clip.proven) proven_.erase(known);
  if (tail != 0) run(i64(full), tail);
  return states;
}

// The body at every point of the tile: reduced offsets outside, parallel ones inside, so that chains are independent.
std::vector<llvm::Value*> FunctionEmitter::reduce_tile(std::vector<Value*> all) {
  const Reduction& reduction = stage_->reduction;
  size_t states = reduction.dtypes.size(), partials = static_cast<size_t>(std::max(how_->partial_accumulators, 1));
  std::vector<Sizes> reduced = tile_points(true);
  for (size_t r = 0; r < reduced.size(); ++r)
    for (size_t p = 0; p < points_.size(); ++p) {
      Sizes point = points_[p];
      for (int d = 0; d < stage_->rank(); ++d) point[d] += reduced[r][d];
      size_t at = (p * partials + r % partials) * states;
      std::vector<Value*> left(all.begin() + static_cast<std::ptrdiff_t>(at),
                               all.begin() + static_cast<std::ptrdiff_t>(at + states));
      std::vector<Value*> joined;
      const ScalarNode& fed = stage_->body[reduction.values[0]];
      if (reduction.kind == Reduction::Kind::sum && fed.op == ScalarOp::mul && fed.dtype == reduction.dtypes[0] &&
          is_floating(fed.dtype)) {
        Value* factors[2];
        for (int i : {0, 1}) {
          Emitted factor = node(BodyKind::body, fed.operands[i], point);
          factors[i] = how_->vector_dim >= 0 && !factor.vector ? widen(factor.value) : factor.value;
        }
        joined = {multiply_add(factors[0], factors[1], left[0])};
      } else {
        std::vector<Value*> right;
        for (size_t s = 0; s < states; ++s) {
          Emitted value = node(BodyKind::body, reduction.values[s], point);
          Value* converted = convert(value.value, stage_->body[reduction.values[s]].dtype, reduction.dtypes[s]);
          right.push_back(how_->vector_dim >= 0 && !value.vector ? widen(converted) : converted);
        }
        joined = combine(left, right);
      }
      bool masked = vector_dim_is_reduced() && active_lanes(point) < how_->lanes;
      for (size_t s = 0; s < states; ++s)
        all[at + s] = masked ? b_.CreateSelect(lane_mask(active_lanes(point)), joined[s], left[s]) : joined[s];
    }
  return all;
}

std::vector<llvm::Value*> FunctionEmitter::combine(const std::vector<Value*>& left, const std::vector<Value*>& right) {
  const Reduction& reduction = stage_->reduction;
  if (reduction.kind != Reduction::Kind::custom)
    return {combine_one(reduction.kind, reduction.dtypes[0], left[0], right[0])};
  parameters_ = left;
  parameters_.insert(parameters_.end(), right.begin(), right.end());
  memo_.emplace_back();
  std::vector<Value*> states;
  for (size_t s = 0; s < left.size(); ++s) {
    Value* value = node(BodyKind::combine, reduction.combined[s], {}).value;
    states.push_back(left[s]->getType()->isVectorTy() && !value->getType()->isVectorTy() ? widen(value) : value);
  }
  memo_.pop_back();
  return states;
}

llvm::Value* FunctionEmitter::combine_one(Reduction::Kind kind, DType dtype, Value* left, Value* right) {
  switch (kind) {
    case Reduction::Kind::sum:
      return arithmetic(ScalarOp::add, dtype, dtype, {left, right});
    case Reduction::Kind::prod:
      return arithmetic(ScalarOp::mul, dtype, dtype, {left, right});
    case Reduction::Kind::min:
      return arithmetic(ScalarOp::min, dtype, dtype, {left, right});
    case Reduction::Kind::max:
      return arithmetic(ScalarOp::max, dtype, dtype, {left, right});
    case Reduction::Kind::any:
      return arithmetic(ScalarOp::logical_or, dtype, dtype, {left, right});
    case Reduction::Kind::all:
      return arithmetic(ScalarOp::logical_and, dtype, dtype, {left, right});
    case Reduction::Kind::none:
    case Reduction::Kind::custom:
      break;
  }
  PW_CHECK(false, "no such reduction");
  return nullptr;
}

// A tree over the lanes: upper half onto lower half, in a fixed order.
std::vector<llvm::Value*> FunctionEmitter::join_lanes(std::vector<Value*> states) {
  for (int half = how_->lanes / 2; half >= 1; half /= 2) {
    std::vector<int> moved;
    for (int lane = 0; lane < how_->lanes; ++lane) moved.push_back(lane < half ? lane + half : -1);
    std::vector<Value*> upper;
    for (Value* state : states) upper.push_back(b_.CreateShuffleVector(state, moved));
    states = combine(states, upper);
  }
  for (Value*& state : states) state = b_.CreateExtractElement(state, uint64_t{0});
  return states;
}

}  // namespace placewright
