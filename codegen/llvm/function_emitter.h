// Emits one phase of a scheduled kernel as an LLVM function. Walks loops (emit_loops.cc); at a leaf unrolls what
// parallel dimensions remain (emit_leaf.cc), reads and writes buffers (emit_place.cc, emit_load.cc, emit_store.cc) and
// emits scalar nodes (emit_scalar.cc).
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "placewright/codegen/emitter.h"

namespace placewright {

// A value of a node: one scalar for all lanes, or a vector with one element a lane.
struct Emitted {
  llvm::Value* value = nullptr;
  bool vector = false;
};

enum class BodyKind : uint8_t { body, epilogue, combine };

class FunctionEmitter {
 public:
  FunctionEmitter(llvm::Module& module, const LoopKernel& loops, const CpuTarget& target, const EmitOptions& options);
  void emit(const LoopFunction& function);

 private:
  using Value = llvm::Value;
  struct Range {
    Value* low = nullptr;
    Value* high = nullptr;
  };
  struct DimState {
    Value* base = nullptr;  // position of the leaf's tile
    int64_t tile = 1;
  };
  // Key of what is known already: kind of thing, its number, and the offsets that it depends on.
  using Key = std::vector<int64_t>;

  // emit_loops.cc
  void emit_nodes(const std::vector<LoopNode>& nodes);
  void emit_node(const LoopNode& node);
  void return_if_raised();
  void emit_loop(const LoopNode& node);
  void make_loop(Value* low, Value* high, int64_t step, const std::function<void(Value*)>& body);
  const Stage& first_stage(const LoopNode& node) const;

  // emit_leaf.cc
  void emit_leaf(const LoopNode& node);
  void emit_reduction(const LoopNode& node);
  struct Clip {
    Value *low = nullptr, *high = nullptr;    // null: the whole dimension
    std::vector<std::pair<int, int>> proven;  // access and dimension of its buffer, inside wherever the loop runs
  };
  Clip clip_reduction(int dim);
  std::vector<Value*> reduce_loops(const std::vector<Loop>& reductions, size_t depth, std::vector<Value*> states);
  std::vector<Value*> reduce_tile(std::vector<Value*> states);
  Value* feed(int state, const Sizes& point, Value* accumulator);
  std::vector<Value*> combine(const std::vector<Value*>& left, const std::vector<Value*>& right);
  Value* combine_one(Reduction::Kind kind, DType dtype, Value* left, Value* right);
  std::vector<Value*> join_lanes(std::vector<Value*> states);
  void hoist_invariants();
  void store_points(BodyKind kind, const std::vector<Store>& stores, const std::vector<Sizes>& points);
  std::vector<Sizes> tile_points(bool reduced) const;
  uint64_t dependencies(BodyKind kind, int node);
  uint64_t dependencies(const Access& access, BodyKind kind);
  int64_t active_lanes(const Sizes& point) const;
  bool vector_dim_is_reduced() const;

  // emit_place.cc
  struct Place {
    Value* pointer = nullptr;           // of lane 0
    std::vector<int64_t> lane_offsets;  // elements from lane 0, one a lane; empty: scalar or dynamic
    Value* pointers = nullptr;          // one a lane, where offsets are not static
    Value* condition = nullptr;         // inside the buffer: i1, or one a lane; null: always
    bool vector = false;
    // Of lanes a little apart: lane 0's place in its block of that many elements; whether all blocks lie inside.
    int64_t block_start = 0;
    bool block_is_whole = false;
    bool is_contiguous() const;
  };
  Place place(BodyKind kind, int slot, const Sizes& point);
  Place dynamic_place(BodyKind kind, int slot, const Sizes& point);
  void set_block(Place& place, const KernelBuffer& buffer, const Access& access, const Sizes& point);
  void check_place(const KernelBuffer& buffer, const Access& access, const Sizes& point, Place& place);
  void require(Place& place, Value* condition);
  void raise_status(Value* violated, Status status, int64_t active);
  Value* index_expression(const AffineExpr& expr, const Sizes& point, bool& vector);
  Value* base_pointer(int slot);
  int64_t static_offset(const Access& access, const Sizes& point) const;
  int64_t base_stride(const Access& access, int dim) const;
  llvm::Type* memory_type(DType dtype) const;
  Value* from_memory(Value* value, DType dtype);
  Value* to_memory(Value* value, DType dtype);
  Value* lane_mask(int64_t active) const;
  Value* mask_of(const Place& place, int64_t active);
  Value* lane_pointers(const Place& place, llvm::Type* element);

  // emit_load.cc
  Value* load_deinterleaved(const Place& place, DType dtype, Value* mask, Value* outside);
  Emitted load(BodyKind kind, int slot, const Sizes& point, DType dtype);
  Value* load_vector(const Place& place, DType dtype, Value* mask, bool all, Value* outside);
  bool is_run(const Access& access, Sizes first, int along, int64_t count) const;

  // emit_store.cc
  void store(BodyKind kind, const Store& store, const Sizes& point);
  void store_lanes(const Place& place, Value* value, Value* mask, DType dtype, int64_t active);
  std::vector<Store> interleaved_with(const std::vector<Store>& stores, size_t first) const;
  void store_interleaved(BodyKind kind, const std::vector<Store>& group, const Sizes& point);
  bool store_scattered(BodyKind kind, const Store& store, const std::vector<Sizes>& points);

  // emit_transpose.cc
  Value* load_transposed(int slot, const Place& place, const Sizes& point, DType dtype);
  std::vector<Value*> load_pieces(const Place& place, DType dtype, int64_t active);
  std::vector<Value*> load_dense(const Place& place, DType dtype, int64_t count, int64_t active);
  std::vector<Value*> transpose(const std::vector<Value*>& rows);
  bool store_transposed(BodyKind kind, const Store& store, const std::vector<Sizes>& points);

  // emit_scalar.cc
  Emitted node(BodyKind kind, int number, const Sizes& point);
  Value* arithmetic(ScalarOp op, DType result, DType operand, llvm::ArrayRef<Value*> operands);
  Value* compare(ScalarOp op, DType dtype, Value* a, Value* b);
  Value* divide(ScalarOp op, DType dtype, Value* a, Value* b);
  Value* convert(Value* value, DType from, DType to);
  Value* constant(const ScalarNode& node);
  Value* widen(Value* scalar);
  Value* multiply_add(Value* a, Value* b, Value* c);
  llvm::Type* register_type(DType dtype) const;
  Value* like(llvm::Type* type, double value) const;
  Value* i64(int64_t value) const;
  const ScalarBody& body_of(BodyKind kind) const;
  Value* recall(const Key& key) const;
  void remember(const Key& key, Value* value) { memo_.back()[key] = value; }

  llvm::Module& module_;
  const LoopKernel& loops_;
  const CpuTarget& target_;
  const EmitOptions& options_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  std::vector<Value*> buffers_;
  Value *status_ = nullptr, *begin_ = nullptr, *end_ = nullptr;
  Value* spare_ = nullptr;        // a few bytes that refused scalar loads read
  std::map<int, Range> ranges_;   // of dimensions that an outer loop has split
  std::map<int, DimState> dims_;  // of dimensions whose innermost loop is open

  // Of the leaf that is being emitted.
  const Stage* stage_ = nullptr;
  const LoopStage* how_ = nullptr;
  std::vector<DimState> leaf_;
  std::vector<Sizes> points_;                         // the parallel tile
  std::map<Sizes, std::vector<Emitted>> reduced_at_;  // states of each parallel point, for the epilogue
  std::set<std::pair<int, int>> proven_;              // indices that a clipped loop keeps inside: access, dimension
  std::vector<Value*> parameters_;                    // of a custom combine
  std::map<std::pair<int, int>, uint64_t> dependencies_;
  std::vector<std::map<Key, Value*>> memo_;  // innermost scope last
  bool may_raise_ = false;                   // whether what was emitted since it was cleared may raise the status
};

}  // namespace placewright
