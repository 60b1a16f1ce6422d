// Placement as numbers: groups of ops that stay together, what each costs on each device, and values that travel
// between groups. Costs are int64 nanoseconds.
#pragma once

#include <cstdint>
#include <vector>

namespace placewright {

struct PlacementProblem {
  static constexpr int64_t unrunnable = int64_t{1} << 50;
  static constexpr int most_labels = 64;

  struct Value {
    int producer = 0;
    std::vector<int> consumers;  // distinct groups other than the producer
    std::vector<int64_t> moves;  // [from * labels + to]: what one copy takes; 0 where from == to
    int64_t bytes = 0;           // that one copy needs on its device
    bool is_given = false;       // there before a step begins: a state, an argument
  };

  int labels = 0;
  std::vector<std::vector<int64_t>> costs;  // [group][label]
  std::vector<Value> values;

  int groups() const { return static_cast<int>(costs.size()); }
};

using Labels = std::vector<int>;  // of each group

// The sum of all groups' costs and of one copy for each value and further device that reads it.
int64_t energy(const PlacementProblem& problem, const Labels& labels);
// What `energy` would grow by if only this group moved.
int64_t flip_cost(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of, const Labels& labels,
                  int group, int to);
// The values that each group makes or reads, as numbers in problem.values.
std::vector<std::vector<int>> values_of_groups(const PlacementProblem& problem);
// What the value's copies cost; `moved`, if it is not negative, is taken to stand on `to`.
int64_t copy_cost(const PlacementProblem& problem, const PlacementProblem::Value& value, const Labels& labels,
                  int moved = -1, int to = 0);
// The labels to which it is copied, as bits, and what copies from one label to some cost.
uint64_t copied_to(const PlacementProblem::Value& value, const Labels& labels);
int64_t copy_cost(const PlacementProblem& problem, const PlacementProblem::Value& value, int from, uint64_t to);

// All groups on one label, those that cannot run there on their cheapest, or as `otherwise` has them.
Labels all_on(const PlacementProblem& problem, int label);
Labels all_on(const PlacementProblem& problem, int label, Labels otherwise);

// The cheapest placement in which groups on `a` and `b` may stand on either and all others stay, as a minimum cut
// (Stone, doi:10.1109/TSE.1977.233840, with one charge for each copy instead of one for each reader). Ties go to `a`.
// Flow and energy are checked to be equal, which proves it.
Labels exchange(const PlacementProblem& problem, const Labels& labels, int a, int b);

struct Solution {
  Labels labels;
  int64_t energy = 0;
  bool is_optimal = false;  // proven: the flow of a minimum cut is equal
};

// Two labels: exact. More: from the first device against the rest, in small problems also from each single device,
// exchanges of pairs and moves of single groups until none gains; each accepted only if the energy falls.
Solution solve_placement(const PlacementProblem& problem);

// A proof that no placement costs less than `bound`: a flow in the network whose source side stands for the label
// `around` and whose sink side for all others, each at the least that any of them costs. A group takes at most its
// cheapest other cost from the source and gives at most its cost on `around` to the sink; a value's copies carry at
// most the cheapest move out of `around` to its readers, and at most the cheapest move into it from them. With two
// labels the bound is the optimum. scripts/check_certificate.py checks it in linear time.
struct Certificate {
  int around = 0;
  int64_t bound = 0;                        // all that leaves the source
  std::vector<std::vector<int64_t>> flows;  // [value][consumer]: from the producer's group to the consumer's, net
};

// The best of such proofs; each `around` is one minimum cut.
Certificate certify(const PlacementProblem& problem);

}  // namespace placewright
