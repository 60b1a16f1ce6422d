#include <algorithm>

#include "memory_steps.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

// Dynamic programming over places where the folded program may be cut. All of this assumes devices that are alike.
class Split {
 public:
  Split(const CappedProblem& capped, const Labels& labels, std::vector<int> members)
      : problem_(capped.problem),
        limits_(capped.limits),
        values_of_(capped.values_of),
        labels_(labels),
        members_(std::move(members)),
        position_(labels.size(), -1) {
    for (int g = 0; g < problem_.groups(); ++g)
      if (std::find(members_.begin(), members_.end(), labels[g]) != members_.end()) order_.push_back(g);
    if (!limits_.folded_order.empty())
      std::stable_sort(order_.begin(), order_.end(),
                       [&](int a, int b) { return limits_.folded_order[a] < limits_.folded_order[b]; });
    for (size_t i = 0; i < order_.size(); ++i) position_[order_[i]] = static_cast<int>(i);
  }

  Labels run() {
    choose_cuts();
    size_t parts = members_.size(), count = cuts_.size();
    std::vector<std::vector<int64_t>> cost(parts + 1, std::vector<int64_t>(count, unrunnable));
    std::vector<std::vector<size_t>> from(parts + 1, std::vector<size_t>(count, 0));
    cost[0][0] = 0;
    for (size_t begin = 0; begin < count; ++begin) {
      std::vector<int64_t> segment = costs_from(begin);
      for (size_t part = 0; part < parts; ++part)
        for (size_t end = begin; end < count && cost[part][begin] < unrunnable; ++end) {
          if (segment[end] >= unrunnable || cost[part][begin] + segment[end] >= cost[part + 1][end]) continue;
          cost[part + 1][end] = cost[part][begin] + segment[end];
          from[part + 1][end] = begin;
        }
    }
    if (cost[parts][count - 1] >= unrunnable) return {};
    Labels split = labels_;
    size_t end = count - 1;
    for (size_t part = parts; part > 0; --part) {
      size_t begin = from[part][end];
      for (int i = cuts_[begin]; i < cuts_[end]; ++i) split[order_[i]] = members_[part - 1];
      end = begin;
    }
    return split;
  }

 private:
  // Where fewest copies cross, one place in each of many stretches of the same bytes.
  void choose_cuts() {
    auto count = static_cast<int>(order_.size());
    std::vector<int64_t> crossing(static_cast<size_t>(count) + 1, 0);
    int64_t bytes = 0;
    for (int g : order_) bytes += limits_.bytes[g][members_[0]];
    for (const PlacementProblem::Value& value : problem_.values) {
      int low = count, high = -1;
      auto see = [&](int g) {
        if (position_[g] < 0) return;
        low = std::min(low, position_[g]);
        high = std::max(high, position_[g]);
      };
      see(value.producer);
      for (int consumer : value.consumers) see(consumer);
      if (low >= high) continue;
      crossing[low + 1] += move(value);
      crossing[high + 1] -= move(value);
    }
    for (int i = 1; i <= count; ++i) crossing[i] += crossing[i - 1];
    int stretches = std::clamp(2000000 / std::max(count, 1), 16, 192);
    cuts_ = {0};
    int64_t held = 0, stretch = 0;
    int best = -1;
    for (int i = 1; i < count; ++i) {
      held += limits_.bytes[order_[i - 1]][members_[0]];
      if (best < 0 || crossing[i] < crossing[best]) best = i;
      // By bytes, and by groups where there are none.
      int64_t now = bytes > 0 ? static_cast<int64_t>(static_cast<double>(held) / static_cast<double>(bytes) * stretches)
                              : int64_t{i} * stretches / count;
      if (now == stretch) continue;
      cuts_.push_back(best);
      stretch = now;
      best = -1;
    }
    cuts_.push_back(count);
    cuts_.erase(std::unique(cuts_.begin(), cuts_.end()), cuts_.end());
  }

  int64_t move(const PlacementProblem::Value& value) const {
    bool is_elsewhere = position_[value.producer] < 0;
    int from = is_elsewhere ? labels_[value.producer] : members_[0];
    return value.moves[from * problem_.labels + members_[is_elsewhere ? 0 : 1]];
  }

  // What segments that begin there cost, by their end: a copy of each value that comes in from another segment.
  // unrunnable where they hold too much.
  std::vector<int64_t> costs_from(size_t begin) {
    std::vector<int64_t> costs(cuts_.size(), unrunnable);
    std::vector<int8_t> state(problem_.values.size(), 0);  // 1: read from outside, 2: made inside
    int64_t cost = 0, held = 0;
    costs[begin] = 0;
    for (size_t end = begin + 1; end < cuts_.size(); ++end) {
      for (int i = cuts_[end - 1]; i < cuts_[end]; ++i) {
        int g = order_[i];
        held += limits_.bytes[g][members_[0]];
        for (int v : values_of_[g]) {
          const PlacementProblem::Value& value = problem_.values[v];
          if (value.producer == g) {
            if (state[v] == 1) cost -= move(value);
            state[v] = 2;
          } else if (state[v] == 0) {
            cost += move(value);
            state[v] = 1;
          }
        }
      }
      if (held > limits_.caps[members_[0]]) break;
      costs[end] = cost;
    }
    return costs;
  }

  const PlacementProblem& problem_;
  const MemoryLimits& limits_;
  const std::vector<std::vector<int>>& values_of_;
  const Labels& labels_;
  std::vector<int> members_;
  std::vector<int> order_;     // groups on the members
  std::vector<int> position_;  // of each group in order_; -1: it is elsewhere
  std::vector<int> cuts_;      // positions where a segment may begin or end, ascending
};

}  // namespace

Labels split_along_order(const CappedProblem& capped, const Labels& labels, const std::vector<int>& members) {
  return Split(capped, labels, members).run();
}

}  // namespace placewright
