// Scheduled loops: what apply_schedule makes of a structured kernel and what emitters read. Every decision is taken:
// an emitter walks the nodes and, at a leaf, follows the leaf rule.
//
// Leaf rule. A parallel dimension with a tile of t points (the step of its innermost loop, or its whole extent without
// a loop) is unrolled; the vector dimension runs in vectors of `lanes`, the last one masked. Reduction loops keep their
// accumulators in registers; one of step 1 leaves out the points whose product has a guarded factor outside of its
// buffer that counts as zero (is_clipped_by). Where a step does not divide the extent, the tail is a second, static
// copy of the leaf.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placewright/ir/kernel.h"
#include "placewright/ir/schedule.h"

namespace placewright {

struct LoopNode {
  enum class Kind : uint8_t { loop, leaf };
  Kind kind = Kind::leaf;
  // loop: runs dimension `dim` of the stages below in steps, over the tile that an outer loop of the same dimension
  // left.
  int dim = 0;
  int64_t step = 1;
  bool innermost = true;  // no loop over the same dimension below
  bool thread = false;    // runs over the launch's range [begin, end), in iterations
  std::vector<LoopNode> body;
  // leaf: one stage. `reductions` are its loops over reduced dimensions, outermost first, inside all parallel loops.
  int stage = -1;
  std::vector<Loop> reductions;
  friend bool operator==(const LoopNode&, const LoopNode&) = default;
};

struct LoopStage {
  int vector_dim = -1;  // -1: scalar
  int lanes = 1;
  int partial_accumulators = 1;
  bool transposed_store = false;
  Sizes tiles;  // of each dimension at the leaf
  friend bool operator==(const LoopStage&, const LoopStage&) = default;
};

struct LoopFunction {
  std::string symbol;
  int64_t extent = 1;  // iterations of the thread loop; 1: serial
  int64_t grain = 1;
  std::vector<LoopNode> nodes;  // run in order
  friend bool operator==(const LoopFunction&, const LoopFunction&) = default;
};

struct LoopKernel {
  StructuredKernel kernel;  // packs are buffers and stages of their own now
  std::vector<LoopStage> stages;
  std::vector<LoopFunction> functions;  // one a phase
  std::vector<int> workspaces;          // buffers of role local without alias, in the order of the kernel ABI
  std::vector<int64_t> workspace_bytes;
  friend bool operator==(const LoopKernel&, const LoopKernel&) = default;
};

std::string print_loops(const LoopKernel& loops);  // for people and golden tests

// The flat element offset, in the buffer's layout, of what `access` touches at `position` (without indirect parts).
// Indices that a guard would refuse are computed as if the buffer went on.
int64_t flat_offset(const KernelBuffer& buffer, const Access& access, const Sizes& position);
// Whether index `i` of a guarded load that counts as zero outside its buffer moves with one reduced dimension, `dim`,
// one by one, and otherwise only with parallel ones: a loop over `dim` then knows where it is inside.
bool is_clipped_by(const Stage& stage, const Access& access, size_t i, int dim);
// Whether index `i` stays, over the stage's whole domain, in the buffer or in its layout's padding, which packs fill
// with what lies outside.
bool stays_in_padding(const Stage& stage, const Access& access, const KernelBuffer& buffer, size_t i);
// Elements that the buffer takes in memory, layout included.
int64_t physical_elements(const KernelBuffer& buffer);

}  // namespace placewright
