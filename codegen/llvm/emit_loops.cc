#include <algorithm>
#include <optional>

#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {

FunctionEmitter::FunctionEmitter(llvm::Module& module, const LoopKernel& loops, const CpuTarget& target,
                                 const EmitOptions& options)
    : module_(module), loops_(loops), target_(target), options_(options), b_(module.getContext()) {}

void FunctionEmitter::emit(const LoopFunction& function) {
  llvm::Type *pointer = b_.getPtrTy(), *integer = b_.getInt64Ty();
  auto* type = llvm::FunctionType::get(b_.getVoidTy(), {pointer, pointer, integer, integer, pointer}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, function.symbol, module_);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  function_->addFnAttr("target-features", target_.features);
  function_->addFnAttr("min-legal-vector-width", "512");
  function_->addFnAttr("no-trapping-math", "true");
  b_.SetInsertPoint(llvm::BasicBlock::Create(module_.getContext(), "entry", function_));
  begin_ = function_->getArg(2);
  end_ = function_->getArg(3);
  status_ = function_->getArg(4);
  spare_ = b_.CreateAlloca(llvm::ArrayType::get(b_.getInt8Ty(), 64));
  // The kernel ABI: operands and results in the order of the buffers, then workspaces.
  buffers_.assign(loops_.kernel.buffers.size(), nullptr);
  unsigned slot = 0;
  auto bind = [&](int buffer) {
    Value* address = b_.CreateConstInBoundsGEP1_64(pointer, function_->getArg(0), slot++);
    buffers_[buffer] = b_.CreateAlignedLoad(pointer, address, llvm::Align(8));
  };
  for (int i = 0; i < static_cast<int>(buffers_.size()); ++i)
    if (loops_.kernel.buffers[i].role != KernelBuffer::Role::local) bind(i);
  for (int workspace : loops_.workspaces) bind(workspace);
  for (size_t i = 0; i < buffers_.size(); ++i) {
    int from = static_cast<int>(i);
    while (loops_.kernel.buffers[from].alias_of >= 0) from = loops_.kernel.buffers[from].alias_of;
    buffers_[i] = buffers_[from];
  }
  memo_.emplace_back();
  for (const LoopNode& node : function.nodes) {
    may_raise_ = false;
    emit_node(node);
    if (may_raise_ && &node != &function.nodes.back()) return_if_raised();
  }
  b_.CreateRetVoid();
}

void FunctionEmitter::emit_nodes(const std::vector<LoopNode>& nodes) {
  for (const LoopNode& node : nodes) emit_node(node);
}

void FunctionEmitter::emit_node(const LoopNode& node) {
  if (node.kind == LoopNode::Kind::loop)
    emit_loop(node);
  else
    emit_leaf(node);
}

// Updates of states may stand behind what went wrong: they must not see it.
void FunctionEmitter::return_if_raised() {
  auto* leave = llvm::BasicBlock::Create(module_.getContext(), "leave", function_);
  auto* go_on = llvm::BasicBlock::Create(module_.getContext(), "go_on", function_);
  llvm::LoadInst* status = b_.CreateAlignedLoad(b_.getInt64Ty(), status_, llvm::Align(8));
  status->setAtomic(llvm::AtomicOrdering::Monotonic);  // other threads may raise it meanwhile
  b_.CreateCondBr(b_.CreateICmpNE(status, i64(0)), leave, go_on);
  b_.SetInsertPoint(leave);
  b_.CreateRetVoid();
  b_.SetInsertPoint(go_on);
}

const Stage& FunctionEmitter::first_stage(const LoopNode& node) const {
  const LoopNode* at = &node;
  while (at->kind == LoopNode::Kind::loop) at = &at->body[0];
  return loops_.kernel.stages[at->stage];
}

namespace {

// Sets an entry of a map for as long as it lives.
template <typename Map>
class Scoped {
 public:
  Scoped(Map& map, typename Map::key_type key, typename Map::mapped_type value) : map_(map), key_(key) {
    if (auto found = map.find(key); found != map.end()) before_ = found->second;
    map[key] = value;
  }
  ~Scoped() {
    if (before_)
      map_[key_] = *before_;
    else
      map_.erase(key_);
  }
  Scoped(const Scoped&) = delete;

 private:
  Map& map_;
  typename Map::key_type key_;
  std::optional<typename Map::mapped_type> before_;
};

}  // namespace

void FunctionEmitter::emit_loop(const LoopNode& node) {
  int64_t extent = first_stage(node).extents[node.dim];
  auto outer = ranges_.find(node.dim);
  Range range = outer != ranges_.end() ? outer->second : Range{i64(0), i64(extent)};
  auto minimum = [&](Value* a, Value* b) { return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, a, b); };
  if (node.thread) {
    range.low = b_.CreateMul(begin_, i64(node.step));
    range.high = minimum(b_.CreateMul(end_, i64(node.step)), i64(extent));
  }
  if (!node.innermost) {
    make_loop(range.low, range.high, node.step, [&](Value* at) {
      auto* known = llvm::dyn_cast<llvm::ConstantInt>(at);
      Value* high = known ? i64(std::min(known->getSExtValue() + node.step, extent))
                          : minimum(b_.CreateAdd(at, i64(node.step)), i64(extent));
      Scoped<std::map<int, Range>> inner(ranges_, node.dim, Range{at, high});
      emit_nodes(node.body);
    });
    return;
  }
  auto run_tile = [&](Value* at, int64_t tile) {
    Scoped<std::map<int, DimState>> state(dims_, node.dim, DimState{at, tile});
    emit_nodes(node.body);
  };
  int64_t tail = extent % node.step;
  auto* known_high = llvm::dyn_cast<llvm::ConstantInt>(range.high);
  Value* full = range.high;
  if (tail != 0)
    full =
        known_high ? i64(std::min(known_high->getSExtValue(), extent - tail)) : minimum(range.high, i64(extent - tail));
  make_loop(range.low, full, node.step, [&](Value* at) { run_tile(at, node.step); });
  if (tail == 0 || (known_high && known_high->getSExtValue() != extent)) return;
  if (known_high && llvm::isa<llvm::ConstantInt>(range.low)) {
    run_tile(i64(extent - tail), tail);
    return;
  }
  auto* tail_block = llvm::BasicBlock::Create(module_.getContext(), "tail", function_);
  auto* after = llvm::BasicBlock::Create(module_.getContext(), "after", function_);
  Value* has_tail = b_.CreateAnd(b_.CreateICmpEQ(range.high, i64(extent)), b_.CreateICmpSLT(range.low, range.high));
  b_.CreateCondBr(has_tail, tail_block, after);
  b_.SetInsertPoint(tail_block);
  run_tile(i64(extent - tail), tail);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

// for (at = low; at < high; at += step), with bounds that are known folded away. What is remembered inside stays there.
void FunctionEmitter::make_loop(Value* low, Value* high, int64_t step, const std::function<void(Value*)>& body) {
  auto *known_low = llvm::dyn_cast<llvm::ConstantInt>(low), *known_high = llvm::dyn_cast<llvm::ConstantInt>(high);
  bool known = known_low && known_high;
  if (known && known_low->getSExtValue() >= known_high->getSExtValue()) return;
  if (known && known_low->getSExtValue() + step >= known_high->getSExtValue()) {
    body(low);
    return;
  }
  auto* loop = llvm::BasicBlock::Create(module_.getContext(), "loop", function_);
  auto* exit = llvm::BasicBlock::Create(module_.getContext(), "exit", function_);
  llvm::BasicBlock* before = b_.GetInsertBlock();
  if (known)
    b_.CreateBr(loop);
  else
    b_.CreateCondBr(b_.CreateICmpSLT(low, high), loop, exit);
  b_.SetInsertPoint(loop);
  llvm::PHINode* at = b_.CreatePHI(b_.getInt64Ty(), 2);
  at->addIncoming(low, before);
  body(at);
  Value* next = b_.CreateNSWAdd(at, i64(step));
  at->addIncoming(next, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSLT(next, high), loop, exit);
  b_.SetInsertPoint(exit);
}

}  // namespace placewright
