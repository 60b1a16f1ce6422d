#include "placement_issue.h"

#include <algorithm>
#include <numeric>

#include "step_issue.h"

namespace placewright {
namespace {

// A placement's groups and copies, in program order.
class GroupTasks {
 public:
  GroupTasks(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order, int host)
      : problem_(problem),
        labels_(labels),
        host_(host),
        read_begin_(labels.size() + 2, 0),
        rank_(labels.size()),
        task_of_(labels.size(), -1),
        copy_to_(problem.values.size() * static_cast<size_t>(problem.labels), -1) {
    for (const PlacementProblem::Value& value : problem.values)
      for (int consumer : value.consumers) ++read_begin_[consumer + 2];
    std::partial_sum(read_begin_.begin(), read_begin_.end(), read_begin_.begin());
    read_.resize(read_begin_.back());
    for (size_t v = 0; v < problem.values.size(); ++v)
      for (int consumer : problem.values[v].consumers) read_[read_begin_[consumer + 1]++] = static_cast<int>(v);
    std::vector<int> program(labels_.size());
    std::iota(program.begin(), program.end(), 0);
    if (!order.empty())
      std::stable_sort(program.begin(), program.end(), [&](int a, int b) { return order[a] < order[b]; });
    for (size_t i = 0; i < program.size(); ++i) rank_[program[i]] = static_cast<int>(i);
    for (int g : program) add(g);
  }

  SimulatedStep simulate() const {
    const IssuedStep issued = issue_step(tasks_, problem_.labels, host_, IssueOrder::gap_free);
    SimulatedStep step;
    for (int task : task_of_) step.runs.push_back({issued.runs[task].start, issued.runs[task].end});
    for (int task : issued.order) {
      if (is_group(task)) continue;
      const auto& [value, to] = copied_[task];
      step.copies.push_back(
          {value, labels_[problem_.values[value].producer], to, issued.runs[task].start, issued.runs[task].end});
    }
    size_t last = 0;
    for (size_t g = 0; g < step.runs.size(); ++g)
      if (step.runs[g].end > step.runs[last].end) last = g;
    step.makespan = step.runs[last].end;
    for (int task = task_of_[last]; task >= 0; task = issued.runs[task].cause)
      if (is_group(task)) step.critical.push_back(copied_[task].second);
    return step;
  }

 private:
  // Values of groups behind the reader, and what is given, are the last step's.
  bool waits_for(int group, int v) const {
    const PlacementProblem::Value& value = problem_.values[v];
    return !value.is_given && rank_[value.producer] < rank_[group];
  }

  void add(int g) {
    const int label = labels_[g];
    std::vector<int>& needs = needs_;
    needs.clear();
    for (size_t at = read_begin_[g]; at < read_begin_[g + 1]; ++at) {
      const int v = read_[at];
      const int producer = problem_.values[v].producer, from = labels_[producer];
      if (from == label) {
        if (waits_for(g, v)) needs.push_back(task_of_[producer]);
        continue;
      }
      int& copy = copy_to_[v * problem_.labels + label];
      if (copy < 0) copy = add_copy(v, label, waits_for(g, v) ? std::vector{task_of_[producer]} : std::vector<int>{});
      needs.push_back(copy);
    }
    task_of_[g] = tasks_.add(label, StepStream::launches, -1, problem_.costs[g][label], needs);
    copied_.emplace_back(-1, g);
  }

  int add_copy(int v, int to, const std::vector<int>& needs) {
    const int from = labels_[problem_.values[v].producer], link = from * problem_.labels + to;
    const int64_t time = problem_.values[v].moves[link];
    copied_.emplace_back(v, to);
    return to == host_ ? tasks_.add(from, StepStream::copies_out, link, time, needs)
                       : tasks_.add(to, StepStream::copies_in, link, time, needs);
  }

  bool is_group(int task) const { return copied_[task].first < 0; }

  const PlacementProblem& problem_;
  const Labels& labels_;
  int host_;
  std::vector<size_t> read_begin_;           // of each group, in `read_`
  std::vector<int> read_;                    // values
  std::vector<int> needs_;                   // of the group that is being added
  std::vector<int> rank_;                    // of each group, its place in the program
  std::vector<int> task_of_;                 // of each group
  std::vector<int> copy_to_;                 // [value * labels + label]: its task; -1: none
  std::vector<std::pair<int, int>> copied_;  // of each task: (value, to), or (-1, group)
  StepTasks tasks_;
};

}  // namespace

SimulatedStep simulate_issued(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order,
                              int host) {
  return GroupTasks(problem, labels, order, host).simulate();
}

}  // namespace placewright
