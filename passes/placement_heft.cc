#include <algorithm>
#include <numeric>

#include "placewright/passes/placement_makespan.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

class Heft {
 public:
  Heft(const PlacementProblem& problem, const std::vector<int>& order)
      : problem_(problem),
        labels_(problem.costs.size(), -1),
        done_(problem.costs.size(), 0),
        busy_(static_cast<size_t>(problem.labels)),
        read_(problem.costs.size()),
        made_(problem.costs.size()) {
    program_.resize(problem.costs.size());
    std::iota(program_.begin(), program_.end(), 0);
    if (!order.empty())
      std::stable_sort(program_.begin(), program_.end(), [&](int a, int b) { return order[a] < order[b]; });
    std::vector<int> position(problem.costs.size());
    for (size_t i = 0; i < program_.size(); ++i) position[program_[i]] = static_cast<int>(i);
    for (size_t v = 0; v < problem.values.size(); ++v) {
      const PlacementProblem::Value& value = problem.values[v];
      made_[value.producer].push_back(static_cast<int>(v));
      for (int consumer : value.consumers)  // against the order of the program there are only cycles
        if (value.is_given || position[value.producer] < position[consumer])
          read_[consumer].push_back(static_cast<int>(v));
    }
    position_ = std::move(position);
  }

  Labels run() {
    std::vector<int64_t> ranks = upward_ranks();
    std::vector<int> turn = program_;
    std::stable_sort(turn.begin(), turn.end(), [&](int a, int b) { return ranks[a] > ranks[b]; });
    // What only holds given values and does nothing goes where most is gained by it, last.
    std::vector<int> homes;
    for (int g : turn) {
      if (read_[g].empty() && *std::max_element(problem_.costs[g].begin(), problem_.costs[g].end()) == 0)
        homes.push_back(g);
      else
        place(g);
    }
    for (int g : homes) settle(g);
    return labels_;
  }

 private:
  struct Interval {
    int64_t start, end;
  };

  // Backward over the program: own time and the longest way to its end, on average over the devices.
  std::vector<int64_t> upward_ranks() const {
    std::vector<int64_t> ranks(problem_.costs.size(), 0);
    for (auto at = program_.rbegin(); at != program_.rend(); ++at) {
      int64_t longest = 0;
      for (int v : made_[*at]) {
        const PlacementProblem::Value& value = problem_.values[v];
        if (value.is_given) continue;
        int64_t move = average_move(value);
        for (int consumer : value.consumers)
          if (position_[*at] < position_[consumer]) longest = std::max(longest, move + ranks[consumer]);
      }
      ranks[*at] = average_cost(*at) + longest;
    }
    return ranks;
  }

  int64_t average_cost(int g) const {
    int64_t sum = 0, count = 0;
    for (int64_t cost : problem_.costs[g])
      if (cost < unrunnable) {
        sum += cost;
        ++count;
      }
    return count ? sum / count : 0;
  }

  int64_t average_move(const PlacementProblem::Value& value) const {
    int64_t sum = 0, pairs = int64_t{problem_.labels} * (problem_.labels - 1);
    for (int64_t move : value.moves) sum += std::min(move, unrunnable / problem_.labels / problem_.labels);
    return pairs ? sum / pairs : 0;
  }

  void place(int g) {
    int best = -1;
    Interval best_run{};
    for (int label = 0; label < problem_.labels; ++label) {
      if (problem_.costs[g][label] >= unrunnable) continue;
      Interval run = earliest(label, ready(g, label), problem_.costs[g][label]);
      if (best >= 0 && run.end >= best_run.end) continue;
      best = label;
      best_run = run;
    }
    if (best < 0) best = 0;  // nowhere: its energy says so
    labels_[g] = best;
    done_[g] = best_run.end;
    std::vector<Interval>& busy = busy_[best];
    if (best_run.end > best_run.start)
      busy.insert(std::upper_bound(busy.begin(), busy.end(), best_run,
                                   [](const Interval& a, const Interval& b) { return a.start < b.start; }),
                  best_run);
  }

  int64_t ready(int g, int label) const {
    int64_t time = 0;
    for (int v : read_[g]) {
      const PlacementProblem::Value& value = problem_.values[v];
      int from = labels_[value.producer];
      if (from < 0) continue;  // its home is still open
      int64_t made = value.is_given ? 0 : done_[value.producer];
      time = std::max(time, made + value.moves[from * problem_.labels + label]);
    }
    return time;
  }

  // The first gap from then on that is long enough.
  Interval earliest(int label, int64_t from, int64_t length) const {
    const std::vector<Interval>& busy = busy_[label];
    auto next = std::upper_bound(busy.begin(), busy.end(), from,
                                 [](int64_t time, const Interval& interval) { return time < interval.start; });
    if (next != busy.begin()) from = std::max(from, std::prev(next)->end);
    constexpr int most_gaps = 64;  // behind them, the end
    for (int gap = 0; next != busy.end(); ++next, ++gap) {
      if (gap == most_gaps) return {std::max(from, busy.back().end), std::max(from, busy.back().end) + length};
      if (from + length <= next->start) break;
      from = std::max(from, next->end);
    }
    return {from, from + length};
  }

  void settle(int g) {
    int64_t best_cost = 0;
    for (int label = 0; label < problem_.labels; ++label) {
      if (problem_.costs[g][label] >= unrunnable) continue;
      int64_t cost = 0;
      for (int v : made_[g]) {
        const PlacementProblem::Value& value = problem_.values[v];
        uint64_t reached = uint64_t{1} << label;
        for (int consumer : value.consumers) {
          int to = labels_[consumer];
          if (to < 0 || (reached >> to & 1)) continue;
          reached |= uint64_t{1} << to;
          cost += value.moves[label * problem_.labels + to];
        }
      }
      if (labels_[g] >= 0 && cost >= best_cost) continue;
      labels_[g] = label;
      best_cost = cost;
    }
    labels_[g] = std::max(labels_[g], 0);
  }

  const PlacementProblem& problem_;
  Labels labels_;
  std::vector<int64_t> done_;
  std::vector<std::vector<Interval>> busy_;  // of each label, ascending
  std::vector<std::vector<int>> read_, made_;
  std::vector<int> program_, position_;
};

}  // namespace

Labels heft(const PlacementProblem& problem, const std::vector<int>& order) { return Heft(problem, order).run(); }

}  // namespace placewright
