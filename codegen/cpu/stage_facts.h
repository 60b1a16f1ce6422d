// What the choice of a schedule asks of one stage: how its accesses move with each dimension, what a candidate may do.
#pragma once

#include <optional>
#include <vector>

#include "placewright/codegen/cpu_target.h"
#include "placewright/ir/kernel.h"
#include "stage_candidate.h"

namespace placewright {

class StageFacts {
 public:
  // All three must outlive this.
  StageFacts(const StructuredKernel& kernel, const Stage& stage, const CpuTarget& target);

  const StructuredKernel& kernel() const { return kernel_; }
  const Stage& stage() const { return stage_; }
  const CpuTarget& target() const { return target_; }

  // --- Accesses

  // Elements between two points that are neighbours along dimension d. The access is one of the stage's.
  int64_t stride(const Access& access, int d) const;
  static bool depends(const Access& access, int d);
  // Whether its index is known only when the kernel runs.
  static bool is_dynamic(const Access& access);
  bool is_loaded(int slot) const;  // by the stage's body
  // Whether a guarded access may leave its buffer and the padding around it; `can_fail`: even in a candidate's loops.
  bool may_leave(const Access& access) const;
  bool can_fail(const StageCandidate& candidate, int slot) const;
  bool can_fail(const StageCandidate& candidate, int slot, size_t i) const;

  // --- The stage

  bool is_sequential(int d) const { return !stage_.sequential.empty() && stage_.sequential[d]; }
  bool lanes_share_store(int v) const;
  bool collides() const;
  int64_t reduced_points() const;
  int lanes(int v) const;  // of vectors along dimension v

  // --- Candidates

  bool fits_blocks(const StageCandidate& candidate) const;
  int64_t register_limit(const StageCandidate& candidate) const;
  bool is_written_out(const StageCandidate& candidate) const;
  bool loads_runs(const StageCandidate& candidate, const Access& access) const;
  bool is_dense_run(const StageCandidate& candidate, const Access& access) const;
  bool transposes(const StageCandidate& candidate, const Store& store) const;
  bool interleaves(const StageCandidate& candidate, const Store& store) const;

 private:
  int64_t find_stride(const Access& access, int d) const;

  const StructuredKernel& kernel_;
  const Stage& stage_;
  const CpuTarget& target_;
  Sizes multiples_;                                      // of each dimension: what a tile's size must divide by
  mutable std::vector<std::optional<int64_t>> strides_;  // of each access and dimension; every candidate asks
};

}  // namespace placewright
