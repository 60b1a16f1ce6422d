#include <algorithm>
#include <numeric>
#include <queue>
#include <tuple>

#include "memory_steps.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

// What a move costs for each byte that it frees, as an order: dearest last. Gains come first.
double rate(int64_t growth, int64_t bytes) { return static_cast<double>(growth) / static_cast<double>(bytes); }

}  // namespace

MemoryState::MemoryState(const CappedProblem& capped, Labels labels)
    : capped_(&capped),
      labels_(std::move(labels)),
      streamed_(static_cast<size_t>(capped.problem.labels)),
      used_(static_cast<size_t>(capped.problem.labels), 0),
      energy_(placewright::energy(capped.problem, labels_)) {
  const PlacementProblem& problem = capped.problem;
  for (int g = 0; g < problem.groups(); ++g) used_[labels_[g]] += capped.limits.bytes[g][labels_[g]];
  for (const PlacementProblem::Value& value : problem.values) {
    uint64_t to = value.is_given && value.bytes > 0 ? copied_to(value, labels_) : 0;
    for (int label = 0; label < problem.labels; ++label)
      if (to >> label & 1) streamed_[label].push_back(value.bytes);
  }
  for (int label = 0; label < problem.labels; ++label) {
    std::sort(streamed_[label].begin(), streamed_[label].end());
    used_[label] += buffers(label);
  }
}

int64_t MemoryState::excess() const {
  int64_t sum = 0;
  for (size_t label = 0; label < used_.size(); ++label)
    sum += std::max<int64_t>(0, used_[label] - capped_->limits.caps[label]);
  return sum;
}

void MemoryState::add_streams(int v, int sign) {
  const PlacementProblem::Value& value = capped_->problem.values[v];
  if (!value.is_given || value.bytes == 0) return;
  uint64_t to = copied_to(value, labels_);
  for (int label = 0; label < capped_->problem.labels; ++label) {
    if (!(to >> label & 1)) continue;
    std::vector<int64_t>& sizes = streamed_[label];
    used_[label] -= buffers(label);
    auto at = std::lower_bound(sizes.begin(), sizes.end(), value.bytes);
    if (sign > 0)
      sizes.insert(at, value.bytes);
    else
      sizes.erase(at);
    used_[label] += buffers(label);
  }
}

void MemoryState::move(int group, int to) {
  energy_ += growth(group, to);
  for (int v : capped_->values_of[group]) add_streams(v, -1);
  used_[labels_[group]] -= capped_->limits.bytes[group][labels_[group]];
  labels_[group] = to;
  used_[to] += capped_->limits.bytes[group][to];
  for (int v : capped_->values_of[group]) add_streams(v, 1);
}

namespace {

// Moves the groups to a label if that gains and fits.
bool try_move(const PlacementProblem& problem, MemoryState& state, const std::vector<int>& groups, int to) {
  const int64_t energy = state.energy(), excess = state.excess();
  std::vector<std::pair<int, int>> moved;  // group, its label before
  for (int g : groups) {
    int from = state.labels()[g];
    if (from == to || problem.costs[g][to] >= unrunnable) continue;
    moved.emplace_back(g, from);
    state.move(g, to);
  }
  if (state.energy() < energy && state.excess() <= excess) return true;
  for (; !moved.empty(); moved.pop_back()) state.move(moved.back().first, moved.back().second);
  return false;
}

// Moves single groups, and in small problems both ends of a value, while that gains and fits.
void settle(const PlacementProblem& problem, MemoryState& state) {
  constexpr int few_groups = 1024;
  for (int round = 0; round < 8; ++round) {
    bool gained = false;
    for (int g = 0; g < problem.groups(); ++g)
      for (int to = 0; to < problem.labels; ++to)
        if (to != state.labels()[g] && problem.costs[g][to] < unrunnable && state.growth(g, to) < 0)
          gained = try_move(problem, state, {g}, to) || gained;
    for (size_t v = 0; v < problem.values.size() && problem.groups() <= few_groups && !gained; ++v)
      for (int consumer : problem.values[v].consumers)
        for (int to = 0; to < problem.labels; ++to)
          gained = try_move(problem, state, {problem.values[v].producer, consumer}, to) || gained;
    if (!gained) return;
  }
}

}  // namespace

bool mend(const CappedProblem& capped, MemoryState& state) {
  const PlacementProblem& problem = capped.problem;
  const MemoryLimits& limits = capped.limits;
  using Move = std::tuple<double, int, int>;  // rate, group, label
  std::priority_queue<Move, std::vector<Move>, std::greater<>> moves;
  auto frees = [&](int g, int to) {
    int from = state.labels()[g];
    bool is_over = state.used()[from] > limits.caps[from];
    return is_over && to != from && problem.costs[g][to] < unrunnable ? limits.bytes[g][from] : 0;
  };
  auto offer = [&](int g, int to) {
    if (int64_t bytes = frees(g, to); bytes > 0) moves.emplace(rate(state.growth(g, to), bytes), g, to);
  };
  for (int g = 0; g < problem.groups(); ++g)
    for (int to = 0; to < problem.labels; ++to) offer(g, to);
  while (!moves.empty() && !state.fits()) {
    auto [old_rate, g, to] = moves.top();
    moves.pop();
    int64_t bytes = frees(g, to);
    if (bytes == 0) continue;
    double now = rate(state.growth(g, to), bytes);
    if (now > old_rate) {  // others moved meanwhile
      moves.emplace(now, g, to);
      continue;
    }
    int from = state.labels()[g];
    int64_t before = state.excess();
    state.move(g, to);
    if (state.excess() >= before) state.move(g, from);
  }
  if (!state.fits()) return false;
  settle(problem, state);
  return true;
}

void fill(const CappedProblem& capped, const Labels& wish, MemoryState& state) {
  const PlacementProblem& problem = capped.problem;
  const MemoryLimits& limits = capped.limits;
  std::vector<int> order(wish.size());
  std::iota(order.begin(), order.end(), 0);
  if (!limits.folded_order.empty())
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return limits.folded_order[a] < limits.folded_order[b]; });
  for (int pass = 0; pass < 2; ++pass) {
    // As far as it fits; then back to where the energy was least.
    std::vector<std::pair<int, int>> moved;  // group, its label before
    int64_t best = state.energy();
    size_t keep = 0;
    for (int g : order) {
      int from = state.labels()[g];
      if (from == wish[g]) continue;
      state.move(g, wish[g]);
      if (!state.fits()) {
        state.move(g, from);
        continue;
      }
      moved.emplace_back(g, from);
      if (state.energy() >= best) continue;
      best = state.energy();
      keep = moved.size();
    }
    while (moved.size() > keep) {
      state.move(moved.back().first, moved.back().second);
      moved.pop_back();
    }
    std::reverse(order.begin(), order.end());
  }
  settle(problem, state);
}

std::vector<int64_t> memory_use(const PlacementProblem& problem, const MemoryLimits& limits, const Labels& labels) {
  return MemoryState(CappedProblem(problem, limits), labels).used();
}

}  // namespace placewright
