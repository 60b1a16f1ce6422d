#include "placewright/passes/placement_memory.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "memory_steps.h"
#include "placewright/base/error.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

int choices(const std::vector<int64_t>& costs) {
  return static_cast<int>(std::count_if(costs.begin(), costs.end(), [](int64_t cost) { return cost < unrunnable; }));
}

// Labels that nothing tells apart: number of the first of them, for each.
std::vector<int> find_alike(const PlacementProblem& problem, const MemoryLimits& limits) {
  auto alike = [&](int a, int b) {
    if (limits.caps[a] != limits.caps[b]) return false;
    for (int g = 0; g < problem.groups(); ++g)
      if (problem.costs[g][a] != problem.costs[g][b] || limits.bytes[g][a] != limits.bytes[g][b]) return false;
    for (const PlacementProblem::Value& value : problem.values)
      for (int other = 0; other < problem.labels; ++other) {
        auto move = [&](int from, int to) { return value.moves[from * problem.labels + to]; };
        if (other == a || other == b) continue;
        if (move(a, other) != move(b, other) || move(other, a) != move(other, b)) return false;
      }
    return true;
  };
  std::vector<int> first(static_cast<size_t>(problem.labels));
  for (int label = 0; label < problem.labels; ++label) {
    first[label] = label;
    for (int other = 0; other < label && first[label] == label; ++other)
      if (first[other] == other && alike(other, label)) first[label] = other;
  }
  return first;
}

class CapSolver {
 public:
  CapSolver(const PlacementProblem& problem, const MemoryLimits& limits)
      : problem_(problem),
        limits_(limits),
        capped_(problem, limits),
        priced_(problem),
        prices_(static_cast<size_t>(problem.labels)) {}

  CappedSolution run() {
    PW_CHECK(
        limits_.caps.size() == static_cast<size_t>(problem_.labels) && limits_.bytes.size() == problem_.costs.size(),
        "limits of another problem");
    Solution free = solve_placement(problem_);
    result_.bound = free.is_optimal ? free.energy : certify(problem_).bound;
    int free_groups = 0;
    for (const std::vector<int64_t>& costs : problem_.costs) free_groups += choices(costs) > 1;
    const bool is_small = free_groups <= 12 && problem_.groups() <= 512;
    bool fits = offer(MemoryState(capped_, free.labels));
    if (fits && (free.is_optimal || !is_small)) return finish();
    if (find_shortage()) return finish();
    if (!fits && !solve_alike_as_one()) price_memories(free.labels);
    if (is_small) {
      Labels best = enumerate_placements(capped_, found_ ? result_.labels : Labels{});
      if (!best.empty()) {
        offer(MemoryState(capped_, best));
        result_.bound = result_.energy;
      }
      if (!found_) proven_ = true;
    }
    return finish();
  }

 private:
  // Takes the placement if it fits and costs less than what was found; keeps the one that comes nearest to fitting.
  bool offer(const MemoryState& state) {
    int64_t excess = state.excess();
    bool is_better = found_ ? excess == 0 && state.energy() < result_.energy : nearest_ < 0 || excess < nearest_;
    if (excess == 0 && !found_) is_better = true;
    if (is_better) {
      result_.labels = state.labels();
      result_.energy = state.energy();
      result_.used = state.used();
      nearest_ = excess;
    }
    found_ = found_ || excess == 0;
    return excess == 0;
  }

  CappedSolution finish() {
    if (found_) {
      PW_CHECK(result_.bound <= result_.energy, "a placement costs less than a lower bound");
      result_.shortage.reset();
      return std::move(result_);
    }
    if (!result_.shortage) {
      int worst = 0;
      for (int label = 1; label < problem_.labels; ++label)
        if (over(result_.used, label) > over(result_.used, worst)) worst = label;
      result_.shortage =
          MemoryShortage{worst, result_.used[worst], limits_.caps[worst], holders(result_.labels, worst), proven_};
    }
    return std::move(result_);
  }

  int64_t over(const std::vector<int64_t>& used, int label) const { return used[label] - limits_.caps[label]; }

  std::vector<int> holders(const Labels& labels, int label) const {
    std::vector<int> groups;
    for (int g = 0; g < problem_.groups(); ++g)
      if (labels[g] == label && limits_.bytes[g][label] > 0) groups.push_back(g);
    std::stable_sort(groups.begin(), groups.end(),
                     [&](int a, int b) { return limits_.bytes[a][label] > limits_.bytes[b][label]; });
    if (groups.size() > 8) groups.resize(8);
    return groups;
  }

  // What has no choice may be too much already.
  bool find_shortage() {
    std::vector<int64_t> least(static_cast<size_t>(problem_.labels), 0);
    for (int g = 0; g < problem_.groups(); ++g)
      for (int label = 0; label < problem_.labels; ++label)
        if (problem_.costs[g][label] < unrunnable && choices(problem_.costs[g]) == 1)
          least[label] += limits_.bytes[g][label];
    for (int label = 0; label < problem_.labels; ++label)
      if (least[label] > limits_.caps[label]) {
        Labels alone(problem_.costs.size(), -1);
        for (int g = 0; g < problem_.groups(); ++g)
          if (choices(problem_.costs[g]) == 1 && problem_.costs[g][label] < unrunnable) alone[g] = label;
        result_.shortage = MemoryShortage{label, least[label], limits_.caps[label], holders(alone, label), true};
        return true;
      }
    return false;
  }

  // Devices that are alike, first as one with all their memory, which bounds what they can reach, then split.
  bool solve_alike_as_one() {
    std::vector<int> first = find_alike(problem_, limits_), kept, merged(first.size());
    for (int label = 0; label < problem_.labels; ++label)
      if (first[label] == label) {
        merged[label] = static_cast<int>(kept.size());
        kept.push_back(label);
      }
    if (static_cast<int>(kept.size()) == problem_.labels) return false;
    PlacementProblem one = with_labels(kept);
    MemoryLimits limits{{}, {}, limits_.folded_order};
    int64_t largest = 0;
    for (int g = 0; g < problem_.groups(); ++g) {
      limits.bytes.emplace_back();
      for (int label : kept) {
        limits.bytes.back().push_back(limits_.bytes[g][label]);
        largest = std::max(largest, limits_.bytes[g][label]);
      }
    }
    for (int label : kept) {
      auto members = static_cast<int64_t>(std::count(first.begin(), first.end(), label));
      bool is_limited = limits_.caps[label] < unlimited_memory / members;
      limits.caps.push_back(is_limited ? limits_.caps[label] * members : unlimited_memory);
    }
    // What does not split evenly needs some room.
    for (int attempt = 0; attempt < 4; ++attempt) {
      CappedSolution solution = solve_with_memory(one, limits);
      if (attempt == 0) result_.bound = std::max(result_.bound, solution.bound);
      if (solution.shortage) {
        if (attempt > 0) break;
        proven_ = solution.shortage->is_proven;
      }
      if (try_split(solution.labels, kept, first)) return true;
      for (size_t i = 0; i < kept.size(); ++i)
        if (std::count(first.begin(), first.end(), kept[i]) > 1 && limits.caps[i] < unlimited_memory)
          limits.caps[i] = std::max<int64_t>(0, limits.caps[i] - largest * (attempt + 1));
    }
    return found_;
  }

  bool try_split(const Labels& merged, const std::vector<int>& kept, const std::vector<int>& first) {
    Labels labels;
    for (int label : merged) labels.push_back(kept[label]);
    for (int label : kept) {
      std::vector<int> members;
      for (int other = 0; other < problem_.labels; ++other)
        if (first[other] == label) members.push_back(other);
      if (members.size() < 2) continue;
      Labels split = split_along_order(capped_, labels, members);
      if (!split.empty()) labels = std::move(split);
    }
    MemoryState state(capped_, std::move(labels));
    mend(capped_, state);
    return offer(state);
  }

  PlacementProblem with_labels(const std::vector<int>& kept) const {
    PlacementProblem one{static_cast<int>(kept.size()), {}, {}};
    for (const std::vector<int64_t>& costs : problem_.costs) {
      one.costs.emplace_back();
      for (int label : kept) one.costs.back().push_back(costs[label]);
    }
    for (const PlacementProblem::Value& value : problem_.values) {
      PlacementProblem::Value& made = one.values.emplace_back(value);
      made.moves.clear();
      for (int from : kept)
        for (int to : kept) made.moves.push_back(value.moves[from * problem_.labels + to]);
    }
    return one;
  }

  // One label after the other gets a price, as long as there is one that is too full.
  void price_memories(Labels labels) {
    for (int round = 0; round < 2 * problem_.labels; ++round) {
      std::vector<int64_t> used = MemoryState(capped_, labels).used();
      int worst = 0;
      for (int label = 1; label < problem_.labels; ++label)
        if (over(used, label) > over(used, worst)) worst = label;
      if (over(used, worst) <= 0) break;
      labels = price_memory(worst, std::move(labels));
    }
    MemoryState state(capped_, std::move(labels));
    mend(capped_, state);
    offer(state);
  }

  void set_price(int label, BytePrice price) {
    prices_[label] = price;
    for (int g = 0; g < problem_.groups(); ++g)
      if (problem_.costs[g][label] < unrunnable)
        priced_.costs[g][label] = std::min(unrunnable, problem_.costs[g][label] + price.of(limits_.bytes[g][label]));
  }

  // No placement that fits pays more for its bytes than the caps cost, so it costs at least the rest.
  void raise_bound(const Solution& priced) {
    int64_t bound = problem_.labels == 2 ? priced.energy : certify(priced_).bound;
    for (int label = 0; label < problem_.labels; ++label)
      if (prices_[label].nanoseconds > 0) bound -= prices_[label].of(limits_.caps[label]);
    result_.bound = std::max(result_.bound, bound);
  }

  // Between a placement that is too full and one that is not, the price at which both cost the same; what is cheapest
  // at that price replaces one of them, until neither is undercut.
  Labels price_memory(int label, Labels full) {
    MemoryState over_cap(capped_, std::move(full));
    MemoryState within(capped_, emptied(label, false));
    // What is read there but kept elsewhere needs buffers; without its readers, none.
    if (within.used()[label] > limits_.caps[label]) {
      MemoryState empty(capped_, emptied(label, true));
      if (empty.used()[label] < within.used()[label]) within = std::move(empty);
    }
    if (within.used()[label] > limits_.caps[label]) {
      mend(capped_, within);
      offer(within);
      return within.labels();
    }
    constexpr int most_cuts = 10;
    for (int cut = 0; cut < most_cuts; ++cut) {
      int64_t saved = over_cap.used()[label] - within.used()[label];
      set_price(label, {std::max<int64_t>(0, within.energy() - over_cap.energy()), saved});
      Solution priced = solve_placement(priced_);
      if (problem_.labels == 2) raise_bound(priced);
      MemoryState next(capped_, std::move(priced.labels));
      bool is_new = next.labels() != over_cap.labels() && next.labels() != within.labels();
      int64_t now = prices_[label].of(next.used()[label]) + next.energy();
      int64_t then = prices_[label].of(within.used()[label]) + within.energy();
      if (!is_new || now >= then) break;
      (next.used()[label] > limits_.caps[label] ? over_cap : within) = std::move(next);
    }
    if (problem_.labels > 2) raise_bound({});
    Labels wish = over_cap.labels();
    fill(capped_, wish, within);
    offer(within);
    mend(capped_, over_cap);
    offer(over_cap);
    return over_cap.fits() && (!within.fits() || over_cap.energy() < within.energy()) ? over_cap.labels()
                                                                                      : within.labels();
  }

  // The best placement that leaves nothing on the label which could be elsewhere and holds memory, or nothing at all.
  Labels emptied(int label, bool of_all) const {
    PlacementProblem other = problem_;
    for (int g = 0; g < problem_.groups(); ++g)
      if ((of_all || limits_.bytes[g][label] > 0) && choices(problem_.costs[g]) > 1) other.costs[g][label] = unrunnable;
    return solve_placement(other).labels;
  }

  const PlacementProblem& problem_;
  const MemoryLimits& limits_;
  CappedProblem capped_;
  PlacementProblem priced_;  // costs include what the bytes cost
  std::vector<BytePrice> prices_;
  CappedSolution result_;
  bool found_ = false;
  bool proven_ = false;  // that nothing fits, if nothing is found
  int64_t nearest_ = -1;
};

}  // namespace

CappedSolution solve_with_memory(const PlacementProblem& problem, const MemoryLimits& limits) {
  return CapSolver(problem, limits).run();
}

}  // namespace placewright
