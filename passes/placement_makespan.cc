#include "placewright/passes/placement_makespan.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "placement_issue.h"
#include "placewright/base/error.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

class Search {
 public:
  Search(const PlacementProblem& problem, const MakespanOptions& options) : problem_(problem), options_(options) {
    if (options.host >= 0) issued_.emplace(problem, options.order, options.host);
  }

  MakespanSolution run(const Labels& start) {
    best_.labels = start;
    schedule_ = simulate(problem_, start, options_.order, options_.host);
    best_.makespan = schedule_.makespan;
    best_.found_by = "cut";
    const int64_t by_start = schedule_.makespan;
    for (int percent : {0, 10, 20, 30, 60, 150})
      add(cut(percent), "cut with copies at " + std::to_string(percent) + "%", by_start);
    add(heft(problem_, options_.order), "HEFT", by_start);
    for (int label = 0; label < problem_.labels; ++label) add(all_on(problem_, label), "one device", by_start);
    keep_earliest();
    int budget = options_.simulations;
    if (budget == 0) budget = std::clamp(200000 / (problem_.groups() + 1), 16, 2000);
    improve(budget);
    best_.bound = makespan_bound(problem_, options_.order);
    PW_CHECK(best_.bound <= best_.makespan, "a step is done before its bound");
    return std::move(best_);
  }

 private:
  bool runs(const Labels& labels) const {
    for (int g = 0; g < problem_.groups(); ++g)
      if (problem_.costs[g][labels[g]] >= unrunnable) return false;
    return true;
  }

  SimulatedStep simulated(const Labels& labels, int64_t before) {
    ++best_.simulations;
    return issued_ ? issued_->simulate(labels, before) : simulate(problem_, labels, options_.order, options_.host);
  }

  void add(Labels labels, const std::string& found_by, int64_t before) {
    auto is_same = [&](const MakespanSolution::Candidate& other) { return other.labels == labels; };
    std::vector<MakespanSolution::Candidate>& known = best_.candidates;
    if (!runs(labels) || std::any_of(known.begin(), known.end(), is_same)) return;
    SimulatedStep schedule = simulated(labels, before);
    if (schedule.makespan >= before) return;
    known.push_back({labels, schedule.makespan, found_by});
    if (schedule.makespan < best_.makespan) take(std::move(labels), found_by, std::move(schedule));
  }

  void keep_earliest() {
    constexpr size_t most = 3;
    std::vector<MakespanSolution::Candidate>& known = best_.candidates;
    std::stable_sort(known.begin(), known.end(), [](const auto& a, const auto& b) { return a.makespan < b.makespan; });
    if (known.size() > most) known.resize(most);
  }

  void take(Labels labels, const std::string& found_by, SimulatedStep schedule) {
    best_.labels = std::move(labels);
    best_.makespan = schedule.makespan;
    best_.found_by = found_by;
    schedule_ = std::move(schedule);
  }

  bool offer(Labels labels, const std::string& found_by) {
    if (!runs(labels)) return false;
    SimulatedStep schedule = simulated(labels, best_.makespan);
    if (schedule.makespan >= best_.makespan) return false;
    take(std::move(labels), found_by, std::move(schedule));
    return true;
  }

  Labels cut(int percent) const {
    PlacementProblem scaled = problem_;
    for (PlacementProblem::Value& value : scaled.values)
      for (int64_t& move : value.moves) move = move >= unrunnable / 2 ? move : move * percent / 100;
    return solve_placement(scaled).labels;
  }

  // Groups on the critical path, alone and with the neighbours on the path that share their device, move to each other
  // device in turn; after each gain the path is another.
  void improve(int budget) {
    const int last = best_.simulations + budget;
    bool gained = true;
    while (gained && best_.simulations < last) {
      gained = false;
      const std::vector<int> path = schedule_.critical;
      for (size_t i = 0; i < path.size() && !gained && best_.simulations < last; ++i)
        for (int to = 0; to < problem_.labels && !gained && best_.simulations < last; ++to)
          gained = try_move({path[i]}, to);
      for (size_t i = 0; i < path.size() && !gained && best_.simulations < last;) {
        std::vector<int> stretch;
        const int label = best_.labels[path[i]];
        for (; i < path.size() && best_.labels[path[i]] == label; ++i) stretch.push_back(path[i]);
        for (int to = 0; to < problem_.labels && !gained; ++to)
          gained = stretch.size() > 1 && best_.simulations < last && try_move(stretch, to);
      }
      constexpr int few_groups = 256;  // others than those on the path may help, too: they make room on links
      std::vector<bool> is_known(problem_.costs.size());  // to gain nothing, though it counts
      for (int g : path) is_known[g] = true;
      for (int g = 0; g < problem_.groups() && problem_.groups() <= few_groups && !gained; ++g)
        for (int to = 0; to < problem_.labels && !gained && best_.simulations < last; ++to)
          if (is_known[g])
            best_.simulations += to != best_.labels[g] && problem_.costs[g][to] < unrunnable ? 1 : 0;
          else
            gained = try_move({g}, to);
    }
  }

  bool try_move(const std::vector<int>& groups, int to) {
    Labels labels = best_.labels;
    for (int g : groups)
      if (problem_.costs[g][to] < unrunnable) labels[g] = to;
    return labels != best_.labels && offer(std::move(labels), best_.found_by);
  }

  const PlacementProblem& problem_;
  const MakespanOptions& options_;
  MakespanSolution best_;
  SimulatedStep schedule_;  // of best_
  std::optional<IssuedSimulator> issued_;
};

}  // namespace

std::vector<int> program_order(const std::vector<int>& group_of, int groups) {
  std::vector<int> order(static_cast<size_t>(groups), static_cast<int>(group_of.size()));
  for (size_t op = 0; op < group_of.size(); ++op) order[group_of[op]] = static_cast<int>(op);
  return order;
}

int64_t makespan_bound(const PlacementProblem& problem, const std::vector<int>& order) {
  std::vector<int> program(problem.costs.size()), position(problem.costs.size());
  std::iota(program.begin(), program.end(), 0);
  if (!order.empty())
    std::stable_sort(program.begin(), program.end(), [&](int a, int b) { return order[a] < order[b]; });
  for (size_t i = 0; i < program.size(); ++i) position[program[i]] = static_cast<int>(i);
  std::vector<int64_t> ready(problem.costs.size(), 0);
  std::vector<std::vector<int>> made(problem.costs.size());
  for (size_t v = 0; v < problem.values.size(); ++v)
    if (!problem.values[v].is_given) made[problem.values[v].producer].push_back(static_cast<int>(v));
  int64_t longest = 0, work = 0;
  for (int g : program) {
    int64_t least = *std::min_element(problem.costs[g].begin(), problem.costs[g].end());
    int64_t done = ready[g] + least;
    longest = std::max(longest, done);
    work += least;
    for (int v : made[g])
      for (int consumer : problem.values[v].consumers)
        if (position[consumer] > position[g]) ready[consumer] = std::max(ready[consumer], done);
  }
  return std::max(longest, (work + problem.labels - 1) / problem.labels);
}

MakespanSolution solve_makespan(const PlacementProblem& problem, const Labels& start, const MakespanOptions& options) {
  return Search(problem, options).run(start);
}

}  // namespace placewright
