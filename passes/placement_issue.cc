#include "placement_issue.h"

#include <algorithm>
#include <numeric>

namespace placewright {
namespace {

// One queue a device, in which copies stand, too. The runtime gives them streams of their own, which hides many of
// them.
class Issuer {
 public:
  Issuer(const PlacementProblem& problem, const Labels& labels, int host)
      : problem_(problem),
        labels_(labels),
        host_(host),
        read_(labels.size()),
        arrived_(problem.values.size() * static_cast<size_t>(problem.labels), -1),
        causes_(labels.size(), -1),
        free_(static_cast<size_t>(problem.labels)) {
    step_.runs.resize(labels.size());
    is_done_.resize(labels.size(), false);
    for (size_t v = 0; v < problem.values.size(); ++v)
      for (int consumer : problem.values[v].consumers) read_[consumer].push_back(static_cast<int>(v));
  }

  SimulatedStep run(const std::vector<int>& order) {
    std::vector<int> groups(labels_.size());
    std::iota(groups.begin(), groups.end(), 0);
    if (!order.empty())
      std::stable_sort(groups.begin(), groups.end(), [&](int a, int b) { return order[a] < order[b]; });
    for (int g : groups) issue(g);
    int last = 0;
    for (int g = 0; g < problem_.groups(); ++g)
      if (step_.runs[g].end > step_.runs[last].end) last = g;
    step_.makespan = step_.runs[last].end;
    for (int g = last; g >= 0; g = causes_[g]) step_.critical.push_back(g);
    return std::move(step_);
  }

 private:
  // When something is free or there, and the group that made it so late.
  struct Moment {
    int64_t time = 0;
    int cause = -1;
    void wait_for(const Moment& other) {
      if (other.time > time) *this = other;
    }
  };

  void issue(int g) {
    const int label = labels_[g];
    for (int v : read_[g]) provide(v, label);
    Moment start = free_[label];
    start.wait_for(free_[host_]);
    for (int v : read_[g]) {
      int producer = problem_.values[v].producer;
      int64_t there = labels_[producer] == label ? made(v) : arrived_[v * problem_.labels + label];
      // What the last step made is no cause in this one: causes would lead round in a circle.
      start.wait_for({there, problem_.values[v].is_given || !is_done_[producer] ? -1 : producer});
    }
    causes_[g] = start.cause;
    step_.runs[g] = {start.time, start.time + problem_.costs[g][label]};
    is_done_[g] = true;
    free_[label] = {step_.runs[g].end, g};
  }

  // A value that is made later in the program is the last step's.
  int64_t made(int v) const {
    const PlacementProblem::Value& value = problem_.values[v];
    return value.is_given || !is_done_[value.producer] ? 0 : step_.runs[value.producer].end;
  }

  // The copy is the work of the device that is not the host, between what it was given before and after.
  void provide(int v, int to) {
    const PlacementProblem::Value& value = problem_.values[v];
    const int from = labels_[value.producer];
    int64_t& arrived = arrived_[v * problem_.labels + to];
    if (from == to || arrived >= 0) return;
    const int worker = to == host_ ? from : to;
    Moment start = free_[worker];
    start.wait_for(free_[host_]);
    start.wait_for({made(v), value.is_given ? -1 : value.producer});
    arrived = start.time + value.moves[from * problem_.labels + to];
    step_.copies.push_back({v, from, to, start.time, arrived});
    const bool is_late = !value.is_given && is_done_[value.producer] && made(v) == start.time;
    free_[worker] = {arrived, is_late ? value.producer : start.cause};
  }

  const PlacementProblem& problem_;
  const Labels& labels_;
  int host_;
  std::vector<std::vector<int>> read_;  // values that a group reads
  std::vector<int64_t> arrived_;        // [value * labels + label]; -1: not copied there
  std::vector<bool> is_done_;
  std::vector<int> causes_;   // of each group, the one that it waited for last
  std::vector<Moment> free_;  // of each label
  SimulatedStep step_;
};

}  // namespace

SimulatedStep simulate_issued(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order,
                              int host) {
  return Issuer(problem, labels, host).run(order);
}

}  // namespace placewright
