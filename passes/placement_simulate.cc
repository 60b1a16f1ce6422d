#include <algorithm>
#include <numeric>
#include <queue>
#include <tuple>

#include "placement_issue.h"
#include "placewright/passes/placement_makespan.h"

namespace placewright {
namespace {

class Simulator {
 public:
  Simulator(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order)
      : problem_(problem),
        labels_(labels),
        order_(order),
        waits_for_(labels.size(), 0),
        made_(labels.size()),
        causes_(labels.size()),
        queues_(static_cast<size_t>(problem.labels)),
        last_copy_(static_cast<size_t>(problem.labels * problem.labels), -1) {
    schedule_.runs.resize(labels.size());
  }

  SimulatedStep run() {
    std::vector<int> groups(labels_.size());
    std::iota(groups.begin(), groups.end(), 0);
    if (!order_.empty())
      std::stable_sort(groups.begin(), groups.end(), [&](int a, int b) { return order_[a] < order_[b]; });
    for (int g : groups) queues_[labels_[g]].groups.push_back(g);
    for (size_t v = 0; v < problem_.values.size(); ++v) {
      const PlacementProblem::Value& value = problem_.values[v];
      for (int consumer : value.consumers) ++waits_for_[consumer];
      if (!value.is_given) made_[value.producer].push_back(static_cast<int>(v));
    }
    for (size_t v = 0; v < problem_.values.size(); ++v)
      if (problem_.values[v].is_given) provide(static_cast<int>(v), 0);
    for (int label = 0; label < problem_.labels; ++label) start_next(label, 0);
    while (true) {
      while (!events_.empty()) {
        Event event = events_.top();
        events_.pop();
        handle(event);
      }
      if (!break_cycle()) break;
    }
    for (const SimulatedStep::Run& run : schedule_.runs) schedule_.makespan = std::max(schedule_.makespan, run.end);
    trace();
    return std::move(schedule_);
  }

 private:
  struct Event {
    int64_t time = 0;
    int copy = -1;  // that arrives; -1: `group` is done
    int group = -1;
    auto key() const { return std::tuple(time, copy, group); }
    bool operator>(const Event& other) const { return key() > other.key(); }
  };
  struct Queue {
    std::vector<int> groups;
    size_t next = 0;
    bool is_busy = false;
    int running = -1;  // or what ran last
    int64_t free_at = 0;
  };
  // Why a group did not start earlier: a value that came then, over a copy or from the same device.
  struct Cause {
    int64_t at = -1;
    int copy = -1, producer = -1;
    int before = -1;  // what ran before on the device
  };

  // The value is there: its readers beside it may use it, copies to others are queued.
  void provide(int v, int64_t now) {
    const PlacementProblem::Value& value = problem_.values[v];
    int from = labels_[value.producer];
    uint64_t reached = uint64_t{1} << from;
    for (int consumer : value.consumers) {
      int to = labels_[consumer];
      if (to == from) arrive(consumer, now, -1, value.is_given ? -1 : value.producer);
      if (reached >> to & 1) continue;
      reached |= uint64_t{1} << to;
      int& last = last_copy_[from * problem_.labels + to];
      int64_t start = last < 0 ? now : std::max(now, schedule_.copies[last].end);
      waited_for_.push_back(start > now ? last : -1);
      last = static_cast<int>(schedule_.copies.size());
      schedule_.copies.push_back({v, from, to, start, start + value.moves[from * problem_.labels + to]});
      events_.push({schedule_.copies.back().end, last, -1});
    }
  }

  void arrive(int group, int64_t now, int copy, int producer) {
    --waits_for_[group];
    causes_[group].at = now;
    causes_[group].copy = copy;
    causes_[group].producer = producer;
  }

  void handle(const Event& event) {
    if (event.copy >= 0) {
      const SimulatedStep::Copy copy = schedule_.copies[event.copy];
      const PlacementProblem::Value& value = problem_.values[copy.value];
      for (int consumer : value.consumers)
        if (labels_[consumer] == copy.to) arrive(consumer, event.time, event.copy, value.producer);
      start_next(copy.to, event.time);
      return;
    }
    Queue& queue = queues_[labels_[event.group]];
    queue.is_busy = false;
    queue.free_at = event.time;
    for (int v : made_[event.group]) provide(v, event.time);
    start_next(labels_[event.group], event.time);
  }

  void start_next(int label, int64_t now) {
    Queue& queue = queues_[label];
    if (queue.is_busy || queue.next == queue.groups.size() || waits_for_[queue.groups[queue.next]] > 0) return;
    start(queue, now);
  }

  void start(Queue& queue, int64_t now) {
    int g = queue.groups[queue.next++];
    now = std::max(now, queue.free_at);
    causes_[g].before = queue.running;
    schedule_.runs[g] = {now, now + problem_.costs[g][labels_[g]]};
    queue.is_busy = true;
    queue.running = g;
    events_.push({schedule_.runs[g].end, -1, g});
  }

  // Nothing happens any more, and groups are left: they wait for each other.
  bool break_cycle() {
    int first = -1;
    auto position = [&](int g) { return order_.empty() ? g : order_[g]; };
    int64_t now = 0;
    for (const Queue& queue : queues_) {
      now = std::max(now, queue.free_at);
      if (queue.next == queue.groups.size()) continue;
      int g = queue.groups[queue.next];
      if (first < 0 || position(g) < position(first)) first = g;
    }
    for (const SimulatedStep::Copy& copy : schedule_.copies) now = std::max(now, copy.end);
    if (first < 0) return false;
    waits_for_[first] = -problem_.groups();  // what comes later does not start it again
    start(queues_[labels_[first]], now);
    return true;
  }

  void trace() {
    int g = -1;
    for (int other = 0; other < problem_.groups(); ++other)
      if (g < 0 || schedule_.runs[other].end > schedule_.runs[g].end) g = other;
    std::vector<bool> seen(labels_.size(), false);
    while (g >= 0 && !seen[g]) {
      seen[g] = true;
      schedule_.critical.push_back(g);
      const Cause& cause = causes_[g];
      if (cause.at < schedule_.runs[g].start || cause.at < 0) {
        g = schedule_.runs[g].start > 0 ? cause.before : -1;
        continue;
      }
      int copy = cause.copy;
      while (copy >= 0 && waited_for_[copy] >= 0) copy = waited_for_[copy];
      g = copy < 0 ? cause.producer : problem_.values[schedule_.copies[copy].value].producer;
      // Given values are nobody's work.
      if (copy >= 0 && problem_.values[schedule_.copies[copy].value].is_given) {
        if (!seen[g]) schedule_.critical.push_back(g);
        g = -1;
      }
    }
  }

  const PlacementProblem& problem_;
  const Labels& labels_;
  const std::vector<int>& order_;
  std::vector<int> waits_for_;          // values that a group lacks
  std::vector<std::vector<int>> made_;  // values that a group makes when it is done
  std::vector<Cause> causes_;
  std::vector<Queue> queues_;
  std::vector<int> last_copy_;   // of each directed link
  std::vector<int> waited_for_;  // of each copy, the one before it on the link if that held it up
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  SimulatedStep schedule_;
};

}  // namespace

SimulatedStep simulate(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order, int host,
                       int64_t before) {
  if (host >= 0) return IssuedSimulator(problem, order, host).simulate(labels, before);
  return Simulator(problem, labels, order).run();
}

}  // namespace placewright
