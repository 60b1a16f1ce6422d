// How a structured kernel runs: tiles, order, bindings, packing. Plain data, chosen by a strategy, a tuner or a file,
// and part of the cache key. apply_schedule turns a StructuredKernel and a Schedule into loops; nothing later decides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placewright/ir/kernel.h"

namespace placewright {

// One loop: runs over its dimension, or over the tile that an outer loop of the same dimension left, in steps of
// `step`. A dimension whose innermost loop has step s > 1 leaves a tile of s points to the leaf, which is unrolled by
// rule (parallel dimensions) with the vector dimension in vectors; a dimension without a loop belongs to the leaf
// whole.
struct Loop {
  // thread: the launch's range runs over it. Such loops stand outermost; several are one range, the last of them moving
  // fastest (where a launch has one loop to share out, that is the first). lane: its iterations are dealt in turn to
  // the lanes of the group, several such loops as one, the last moving fastest; serial where there are no lanes. One
  // over a parallel dimension and one over a reduced one may stand together: each lane then has a place along both, the
  // parallel one moving fastest, and lanes of one result join what they reduced, in order.
  enum class Binding : uint8_t { serial, thread, lane };
  int dim = 0;
  int64_t step = 1;
  Binding binding = Binding::serial;
  friend bool operator==(const Loop&, const Loop&) = default;
};

// Copies the whole buffer of an access into a local one of another layout before the stage runs, so that the stage
// reads it with stride 1 (order, blocks) or without guards (padding). A phase of its own, with its own schedule.
struct Pack {
  int access = 0;
  Layout layout;
  friend bool operator==(const Pack&, const Pack&) = default;
};

// A sum of products in tiles of results, for units that multiply small matrices. Each list of dimensions counts as one,
// the last of them moving fastest: `rows` are dimensions that only one factor moves with, `columns` those that only the
// other moves with, `depth` all that are reduced. The launch's range runs over the tiles too, below its thread loops
// and columns fastest; a tile is summed in steps of its depth, and each 32 lanes take one part of rows by one of
// columns.
struct MatrixTiles {
  struct Side {
    std::vector<int> dims;
    int64_t tile = 1, part = 1;  // results of the group, of 32 lanes
    friend bool operator==(const Side&, const Side&) = default;
  };
  Side rows, columns;
  std::vector<int> depth;
  int64_t step = 1;  // of the depth
  friend bool operator==(const MatrixTiles&, const MatrixTiles&) = default;
};

struct StageSchedule {
  std::vector<Loop> loops;       // inside the shared ones, outermost first
  int vector_dim = -1;           // -1: scalar
  int reduction_unroll = 1;      // of the innermost reduction loop
  int partial_accumulators = 1;  // independent chains for that loop; joined in a fixed order
  std::vector<Pack> packs;
  std::optional<MatrixTiles> matrix = {};  // then `loops` has thread loops over the other dimensions alone
  bool transposed_store = false;  // results strided in the vector dimension are transposed in registers before storing
  // Where a stage adds at an index that it loads: the launch's range runs this many times over its thread loops, and
  // each time takes, of what is in order, the points alone whose index is its own modulo the shares. What meets in one
  // element stays in order.
  int64_t shares = 1;
  friend bool operator==(const StageSchedule&, const StageSchedule&) = default;
};

// Consecutive stages that share their outer loops: their leading dimensions are the same, and what one stage stores the
// next reads in the same iteration. `shared` loops speak of those leading dimensions.
struct StageGroup {
  int stages = 1;
  std::vector<Loop> shared;
  int lanes = 1;  // threads that work together on each iteration of the launch's range
  // Local buffers of which each such iteration has a part of its own, in memory that its lanes share: see may_hold.
  std::vector<int> held = {};
  friend bool operator==(const StageGroup&, const StageGroup&) = default;
};

// A phase is what one fork and join of the thread pool runs: consecutive groups. Groups in a phase of several groups or
// without a thread loop run on one thread.
struct Phase {
  int groups = 1;
  friend bool operator==(const Phase&, const Phase&) = default;
};

struct Schedule {
  std::vector<StageSchedule> stages;  // one for each stage of the kernel
  std::vector<StageGroup> groups;     // in order; their counts add up to the number of stages
  std::vector<Phase> phases;
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// Whether two accesses, each of one stage's, touch the same elements only at one index of dimension `dim`.
bool meet_at_one_index(const StructuredKernel& kernel, const Stage& a, const Access& x, const Stage& b, const Access& y,
                       int dim);

// Whether the group, whose first stage is number `first`, is alone in touching the local buffer, and each iteration of
// its shared loops touches a part of its own: the buffer's leading dimensions are the shared ones.
bool may_hold(const StructuredKernel& kernel, size_t first, const StageGroup& group, int buffer);

// Whether the points of the stage may be dealt out by the index that they add at: it has one store, and what that adds
// to depends on one loaded index, along whose dimension nothing else moves it.
bool can_share(const Stage& stage);

std::string print_schedule(const Schedule& schedule);
Schedule parse_schedule(std::string_view text);
// Error unless the schedule fits the kernel: dimensions exist, steps nest, at most one thread loop a phase ...
void verify_schedule(const StructuredKernel& kernel, const Schedule& schedule);

}  // namespace placewright
