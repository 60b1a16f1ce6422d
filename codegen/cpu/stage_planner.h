// The cheapest way to run one stage: prices every candidate {vector dimension, register tile, packs, chains, runs}.
#pragma once

#include <initializer_list>

#include "stage_facts.h"

namespace placewright {

class StagePlanner {
 public:
  // All three must outlive this.
  StagePlanner(const StructuredKernel& kernel, const Stage& stage, const CpuTarget& target)
      : facts_(kernel, stage, target), stage_(stage) {}

  const StageFacts& facts() const { return facts_; }

  StageCandidate best() const;
  std::vector<Layout> packed_layouts(int slot) const;
  Split split() const;

 private:
  StageCandidate best_of_split(const Split& split) const;
  StageCandidate priced(StageCandidate candidate) const;
  void consider(StageCandidate& best, const StageCandidate& candidate) const;
  void consider_chains(StageCandidate& best, const StageCandidate& base, int dim,
                       std::initializer_list<int64_t> counts) const;
  void consider_runs(StageCandidate& best, const StageCandidate& base) const;
  void tiles(StageCandidate& best, const StageCandidate& base, int from, int depth) const;
  bool tile_pays(int d) const;
  int longest_reduced() const;

  StageFacts facts_;
  const Stage& stage_;
};

}  // namespace placewright
