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

  Candidate best() const;
  std::vector<Layout> packed_layouts(int slot) const;
  Split split() const;

 private:
  Candidate best_of_split(const Split& split) const;
  Candidate priced(Candidate candidate) const;
  void consider(Candidate& best, const Candidate& candidate) const;
  void consider_chains(Candidate& best, const Candidate& base, int dim, std::initializer_list<int64_t> counts) const;
  void consider_runs(Candidate& best, const Candidate& base) const;
  void tiles(Candidate& best, const Candidate& base, int from, int depth) const;
  bool tile_pays(int d) const;
  int longest_reduced() const;

  StageFacts facts_;
  const Stage& stage_;
};

}  // namespace placewright
