#include "placewright/passes/placement_problem.h"

#include <algorithm>
#include <cstddef>

#include "max_flow.h"
#include "placewright/base/error.h"
#include "reader_counts.h"

namespace placewright {
namespace {

// The network of one exchange: the source's side has label `a`.
class PairNetwork {
 public:
  PairNetwork(const PlacementProblem& problem, const Labels& labels, int a, int b)
      : problem_(problem), labels_(labels), a_(a), b_(b), network_(0), node_(labels.size(), -1) {
    reserve();
    for (int g = 0; g < problem.groups(); ++g) {
      const std::vector<int64_t>& costs = problem.costs[g];
      if (labels[g] != a && labels[g] != b) {
        fixed_ += costs[labels[g]];
        continue;
      }
      node_[g] = network_.add_node();
      network_.add_terminal(node_[g], costs[b], costs[a]);
    }
    for (const PlacementProblem::Value& value : problem.values) add(value);
  }

  int64_t flow() { return network_.solve() + fixed_; }
  // All that the sink does not reach is the source's: the largest source side of a minimum cut.
  int label(int group) const {
    if (node_[group] < 0) return labels_[group];
    return network_.side(node_[group]) == MaxFlow::Side::sink ? b_ : a_;
  }

 private:
  static constexpr int64_t bound = int64_t{1} << 60;

  // A value with one reader is an arc at most; with more, two nodes, and two arcs for each reader and each node.
  void reserve() {
    size_t nodes = problem_.costs.size(), arcs = 0;
    for (const PlacementProblem::Value& value : problem_.values) {
      size_t readers = value.consumers.size();
      nodes += readers > 1 ? 2 : 0;
      arcs += readers > 1 ? 2 * readers + 2 : readers;
    }
    network_.reserve(nodes, arcs);
  }

  void add(const PlacementProblem::Value& value) {
    auto move = [&](int from, int to) { return value.moves[from * problem_.labels + to]; };
    int producer = node_[value.producer], home = labels_[value.producer];
    std::vector<int>& movable = movable_;
    movable.clear();
    uint64_t others = 0;  // labels of readers that stay
    for (int consumer : value.consumers) {
      if (node_[consumer] >= 0)
        movable.push_back(node_[consumer]);
      else
        others |= uint64_t{1} << labels_[consumer];
    }
    for (int to = 0; to < problem_.labels; ++to) {
      if (!(others >> to & 1)) continue;
      if (producer >= 0)
        network_.add_terminal(producer, move(b_, to), move(a_, to));
      else
        fixed_ += move(home, to);
    }
    if (movable.empty()) return;
    if (producer >= 0 && movable.size() == 1)
      network_.add_arc(producer, movable[0], move(a_, b_), move(b_, a_));
    else if (producer >= 0)
      share(movable, producer, move(a_, b_), move(b_, a_));
    else
      share_from_outside(movable, move(home, a_), move(home, b_));
  }

  // One copy to several readers is one arc: to a node that is drawn to the other side as soon as one of them is there.
  void share(const std::vector<int>& readers, int producer, int64_t to_b, int64_t to_a) {
    int away = network_.add_node(), back = network_.add_node();
    network_.add_arc(producer, away, to_b);
    network_.add_arc(back, producer, to_a);
    for (int reader : readers) {
      network_.add_arc(away, reader, bound);
      network_.add_arc(reader, back, bound);
    }
  }

  void share_from_outside(const std::vector<int>& readers, int64_t to_a, int64_t to_b) {
    if (readers.size() == 1) {
      network_.add_terminal(readers[0], to_b, to_a);
      return;
    }
    int on_a = network_.add_node(), on_b = network_.add_node();
    network_.add_terminal(on_a, 0, to_a);
    network_.add_terminal(on_b, to_b, 0);
    for (int reader : readers) {
      network_.add_arc(reader, on_a, bound);
      network_.add_arc(on_b, reader, bound);
    }
  }

  const PlacementProblem& problem_;
  const Labels& labels_;
  int a_, b_;
  MaxFlow network_;
  std::vector<int> node_;     // of each group that may move; -1: it stays
  std::vector<int> movable_;  // the readers of the value that is being added
  int64_t fixed_ = 0;
};

Labels each_cheapest(const PlacementProblem& problem) {
  Labels labels;
  for (const std::vector<int64_t>& costs : problem.costs)
    labels.push_back(static_cast<int>(std::min_element(costs.begin(), costs.end()) - costs.begin()));
  return labels;
}

// Moves single groups while that gains.
bool flip(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of, Labels& labels) {
  bool gained = false;
  ReaderCounts readers(problem, labels);
  for (int g = 0; g < problem.groups(); ++g)
    for (int to = 0; to < problem.labels; ++to) {
      if (to == labels[g]) continue;
      int64_t growth = problem.costs[g][to] - problem.costs[g][labels[g]];
      for (int v : values_of[g]) growth += readers.growth(v, g, to);
      if (growth >= 0) continue;
      readers.move(values_of[g], g, to);
      labels[g] = to;
      gained = true;
    }
  return gained;
}

// Exchanges of pairs and moves of single groups until none gains. A pair is tried again only after one of its labels
// gained or lost groups.
int64_t descend(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of, Labels& labels) {
  int64_t best = energy(problem, labels);
  int now = 1;
  std::vector<int> changed(static_cast<size_t>(problem.labels), now);  // when each label last did
  std::vector<int> tried(static_cast<size_t>(problem.labels * problem.labels), 0);
  auto note = [&](const Labels& moved) {
    ++now;
    for (int g = 0; g < problem.groups(); ++g)
      if (moved[g] != labels[g]) changed[moved[g]] = changed[labels[g]] = now;
    labels = moved;
  };
  for (bool gained = true; gained;) {
    gained = false;
    for (int a = 0; a < problem.labels; ++a)
      for (int b = a + 1; b < problem.labels; ++b) {
        int& last = tried[a * problem.labels + b];
        if (last >= std::max(changed[a], changed[b])) continue;
        Labels moved = exchange(problem, labels, a, b);
        int64_t cost = energy(problem, moved);
        if (cost < best) {
          gained = true;
          note(moved);
          best = cost;
        }
        last = now;
      }
    Labels flipped = labels;
    if (!flip(problem, values_of, flipped)) continue;
    gained = true;
    note(flipped);
    best = energy(problem, labels);
  }
  return best;
}

// The first device against all others as one; what stands on those takes the cheapest of them.
Labels first_against_rest(const PlacementProblem& problem) {
  PlacementProblem two{2, {}, {}};
  two.costs.reserve(problem.costs.size());
  for (const std::vector<int64_t>& costs : problem.costs)
    two.costs.push_back({costs[0], *std::min_element(costs.begin() + 1, costs.end())});
  two.values.reserve(problem.values.size());
  for (const PlacementProblem::Value& value : problem.values) {
    int64_t out = PlacementProblem::unrunnable, back = out;
    for (int other = 1; other < problem.labels; ++other) {
      out = std::min(out, value.moves[other]);
      back = std::min(back, value.moves[other * problem.labels]);
    }
    two.values.push_back({value.producer, value.consumers, {0, out, back, 0}});
  }
  Labels labels = exchange(two, all_on(two, 0), 0, 1);
  for (int g = 0; g < problem.groups(); ++g)
    if (labels[g] == 1)
      labels[g] = static_cast<int>(std::min_element(problem.costs[g].begin() + 1, problem.costs[g].end()) -
                                   problem.costs[g].begin());
  return labels;
}

}  // namespace

int64_t copy_cost(const PlacementProblem& problem, const PlacementProblem::Value& value, const Labels& labels,
                  int moved, int to) {
  int from = value.producer == moved ? to : labels[value.producer];
  const int64_t* moves = value.moves.data() + static_cast<std::ptrdiff_t>(from) * problem.labels;
  uint64_t reached = uint64_t{1} << from;
  int64_t sum = 0;
  for (int consumer : value.consumers) {
    int label = consumer == moved ? to : labels[consumer];
    if (!(reached >> label & 1)) sum += moves[label];
    reached |= uint64_t{1} << label;
  }
  return sum;
}

uint64_t copied_to(const PlacementProblem::Value& value, const Labels& labels) {
  uint64_t set = 0;
  for (int consumer : value.consumers) set |= uint64_t{1} << labels[consumer];
  return set & ~(uint64_t{1} << labels[value.producer]);
}

int64_t copy_cost(const PlacementProblem& problem, const PlacementProblem::Value& value, int from, uint64_t to) {
  int64_t sum = 0;
  for (int label = 0; label < problem.labels; ++label)
    if (to >> label & 1) sum += value.moves[from * problem.labels + label];
  return sum;
}

Labels all_on(const PlacementProblem& problem, int label) { return all_on(problem, label, each_cheapest(problem)); }

Labels all_on(const PlacementProblem& problem, int label, Labels otherwise) {
  for (int g = 0; g < problem.groups(); ++g)
    if (problem.costs[g][label] < PlacementProblem::unrunnable) otherwise[g] = label;
  return otherwise;
}

int64_t energy(const PlacementProblem& problem, const Labels& labels) {
  int64_t sum = 0;
  for (int g = 0; g < problem.groups(); ++g) sum += problem.costs[g][labels[g]];
  for (const PlacementProblem::Value& value : problem.values) sum += copy_cost(problem, value, labels);
  return sum;
}

std::vector<std::vector<int>> values_of_groups(const PlacementProblem& problem) {
  std::vector<std::vector<int>> values(problem.costs.size());
  for (size_t v = 0; v < problem.values.size(); ++v) {
    values[problem.values[v].producer].push_back(static_cast<int>(v));
    for (int consumer : problem.values[v].consumers) values[consumer].push_back(static_cast<int>(v));
  }
  return values;
}

int64_t flip_cost(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of, const Labels& labels,
                  int group, int to) {
  int64_t growth = problem.costs[group][to] - problem.costs[group][labels[group]];
  for (int v : values_of[group])
    growth += copy_cost(problem, problem.values[v], labels, group, to) - copy_cost(problem, problem.values[v], labels);
  return growth;
}

Labels exchange(const PlacementProblem& problem, const Labels& labels, int a, int b) {
  PairNetwork network(problem, labels, a, b);
  int64_t flow = network.flow();
  Labels moved(problem.costs.size());
  for (int g = 0; g < problem.groups(); ++g) moved[g] = network.label(g);
  PW_CHECK(flow == energy(problem, moved), "a minimum cut is not its placement's cost");
  return moved;
}

Solution solve_placement(const PlacementProblem& problem) {
  PW_CHECK(problem.labels >= 1 && problem.labels <= PlacementProblem::most_labels,
           "placement on no device, or on more than 64");
  Solution solution;
  if (problem.labels <= 2) {  // one cut is exact
    solution.labels = all_on(problem, 0);
    if (problem.labels == 2) solution.labels = exchange(problem, solution.labels, 0, 1);
    solution.energy = energy(problem, solution.labels);
    solution.is_optimal = true;
    return solution;
  }
  // Small problems are started from everywhere. In large ones the starts end alike, and one is enough.
  constexpr int large = 512;
  std::vector<std::vector<int>> values_of = values_of_groups(problem);
  solution.labels = first_against_rest(problem);
  solution.energy = descend(problem, values_of, solution.labels);
  for (int start = 0; start <= problem.labels && problem.groups() < large; ++start) {
    Labels labels = start < problem.labels ? all_on(problem, start) : each_cheapest(problem);
    int64_t cost = descend(problem, values_of, labels);
    if (cost >= solution.energy) continue;
    solution.labels = std::move(labels);
    solution.energy = cost;
  }
  return solution;
}

}  // namespace placewright
