#include "placement_issue.h"

#include <algorithm>
#include <numeric>

namespace placewright {

IssuedSimulator::IssuedSimulator(const PlacementProblem& problem, const std::vector<int>& order, int host)
    : problem_(problem), host_(host), read_begin_(problem.costs.size() + 2, 0), rank_(problem.costs.size()) {
  for (const PlacementProblem::Value& value : problem.values)
    for (int consumer : value.consumers) ++read_begin_[consumer + 2];
  std::partial_sum(read_begin_.begin(), read_begin_.end(), read_begin_.begin());
  read_.resize(read_begin_.back());
  for (size_t v = 0; v < problem.values.size(); ++v)
    for (int consumer : problem.values[v].consumers) read_[read_begin_[consumer + 1]++] = static_cast<int>(v);
  program_.resize(problem.costs.size());
  std::iota(program_.begin(), program_.end(), 0);
  if (!order.empty())
    std::stable_sort(program_.begin(), program_.end(), [&](int a, int b) { return order[a] < order[b]; });
  for (size_t i = 0; i < program_.size(); ++i) rank_[program_[i]] = static_cast<int>(i);
  for (size_t v = 0; v < problem.values.size(); ++v) {
    const std::vector<int>& readers = problem.values[v].consumers;
    is_always_new_.push_back(std::all_of(readers.begin(), readers.end(),
                                         [&](int reader) { return waits_for(reader, static_cast<int>(v)); }));
  }
}

// Wherever they stand, readers wait for the copy and take their time.
void IssuedSimulator::find_behind() {
  const int labels = problem_.labels;
  behind_.assign(problem_.costs.size() * static_cast<size_t>(labels), 0);
  for (auto at = program_.rbegin(); at != program_.rend(); ++at) {
    const int reader = *at;
    for (size_t read = read_begin_[reader]; read < read_begin_[reader + 1]; ++read) {
      if (!is_always_new_[read_[read]]) continue;
      const PlacementProblem::Value& value = problem_.values[read_[read]];
      for (int from = 0; from < labels; ++from) {
        int64_t least = std::numeric_limits<int64_t>::max();
        for (int to = 0; to < labels; ++to)
          least = std::min(least, value.moves[from * labels + to] + problem_.costs[reader][to] +
                                      behind_[static_cast<size_t>(reader) * labels + to]);
        int64_t& behind = behind_[static_cast<size_t>(value.producer) * labels + from];
        behind = std::max(behind, least);
      }
    }
  }
}

SimulatedStep IssuedSimulator::simulate(const Labels& labels, int64_t before) {
  SimulatedStep step;
  step.makespan = before;
  if (before < std::numeric_limits<int64_t>::max() && is_too_much(labels, before)) return step;
  tasks_.clear();
  copied_.clear();
  task_of_.assign(labels.size(), -1);
  copy_to_.assign(problem_.values.size() * static_cast<size_t>(problem_.labels), -1);
  for (int g : program_) add(g, labels);
  const IssuedStep issued = issue_step(tasks_, problem_.labels, host_, IssueOrder::gap_free, before);
  if (issued.is_late) return step;
  for (int task : task_of_) step.runs.push_back({issued.runs[task].start, issued.runs[task].end});
  for (int task : issued.order) {
    if (is_group(task)) continue;
    const auto& [value, to] = copied_[task];
    step.copies.push_back(
        {value, labels[problem_.values[value].producer], to, issued.runs[task].start, issued.runs[task].end});
  }
  size_t last = 0;
  for (size_t g = 0; g < step.runs.size(); ++g)
    if (step.runs[g].end > step.runs[last].end) last = g;
  step.makespan = step.runs[last].end;
  for (int task = task_of_[last]; task >= 0; task = issued.runs[task].cause)
    if (is_group(task)) step.critical.push_back(copied_[task].second);
  return step;
}

// That one device alone takes as long, or a chain of groups that need each other. The host's follow the program.
bool IssuedSimulator::is_too_much(const Labels& labels, int64_t before) {
  loads_.assign(static_cast<size_t>(problem_.labels), 0);
  for (size_t g = 0; g < labels.size(); ++g) loads_[labels[g]] += problem_.costs[g][labels[g]];
  if (*std::max_element(loads_.begin(), loads_.end()) >= before) return true;
  if (behind_.empty()) find_behind();
  done_.resize(labels.size());
  int64_t host_done = 0;
  for (int g : program_) {
    const int label = labels[g];
    const int64_t cost = problem_.costs[g][label];
    int64_t start = label == host_ && cost > 0 ? host_done : 0;
    for (size_t at = read_begin_[g]; at < read_begin_[g + 1]; ++at) {
      const PlacementProblem::Value& value = problem_.values[read_[at]];
      const int from = labels[value.producer];
      const bool is_new = from == label ? waits_for(g, read_[at]) : static_cast<bool>(is_always_new_[read_[at]]);
      start = std::max(start, (is_new ? done_[value.producer] : 0) + value.moves[from * problem_.labels + label]);
    }
    done_[g] = start + cost;
    if (label == host_ && cost > 0) host_done = done_[g];
    if (done_[g] + behind_[static_cast<size_t>(g) * problem_.labels + label] >= before) return true;
  }
  return false;
}

// Values of groups behind the reader, and what is given, are the last step's.
bool IssuedSimulator::waits_for(int group, int v) const {
  const PlacementProblem::Value& value = problem_.values[v];
  return !value.is_given && rank_[value.producer] < rank_[group];
}

void IssuedSimulator::add(int g, const Labels& labels) {
  const int label = labels[g];
  std::vector<int>& needs = needs_;
  needs.clear();
  for (size_t at = read_begin_[g]; at < read_begin_[g + 1]; ++at) {
    const int v = read_[at];
    const int producer = problem_.values[v].producer, from = labels[producer];
    if (from == label) {
      if (waits_for(g, v)) needs.push_back(task_of_[producer]);
      continue;
    }
    int& copy = copy_to_[v * problem_.labels + label];
    if (copy < 0)
      copy = add_copy(v, label, labels, waits_for(g, v) ? std::vector{task_of_[producer]} : std::vector<int>{});
    needs.push_back(copy);
  }
  const int64_t behind = behind_.empty() ? 0 : behind_[static_cast<size_t>(g) * problem_.labels + label];
  task_of_[g] = tasks_.add(label, StepStream::launches, -1, problem_.costs[g][label], needs, behind);
  copied_.emplace_back(-1, g);
}

int IssuedSimulator::add_copy(int v, int to, const Labels& labels, const std::vector<int>& needs) {
  const int from = labels[problem_.values[v].producer], link = from * problem_.labels + to;
  const int64_t time = problem_.values[v].moves[link];
  copied_.emplace_back(v, to);
  return to == host_ ? tasks_.add(from, StepStream::copies_out, link, time, needs)
                     : tasks_.add(to, StepStream::copies_in, link, time, needs);
}

}  // namespace placewright
