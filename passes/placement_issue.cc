#include "placement_issue.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <span>

#include "placewright/base/error.h"

namespace placewright {
namespace {

// The values of each group, in order, in one piece: a simulation is made many times.
template <typename Groups>
class ValuesOf {
 public:
  ValuesOf(size_t groups, const std::vector<PlacementProblem::Value>& values) : begin_(groups + 2, 0) {
    auto for_each = [&](auto&& visit) {
      for (size_t v = 0; v < values.size(); ++v)
        for (int group : Groups()(values[v])) visit(static_cast<size_t>(group), static_cast<int>(v));
    };
    for_each([&](size_t group, int) { ++begin_[group + 2]; });
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    values_.resize(begin_.back());
    for_each([&](size_t group, int value) { values_[begin_[group + 1]++] = value; });
  }

  std::span<const int> operator[](int group) const {
    const size_t begin = begin_[static_cast<size_t>(group)];
    return {values_.data() + begin, begin_[static_cast<size_t>(group) + 1] - begin};
  }

 private:
  std::vector<size_t> begin_;
  std::vector<int> values_;
};

struct Consumers {
  std::span<const int> operator()(const PlacementProblem::Value& value) const { return value.consumers; }
};
struct Producer {
  std::span<const int> operator()(const PlacementProblem::Value& value) const { return {&value.producer, 1}; }
};

// Hands out groups and copies in the order that the pass `overlap` makes, each when the runtime would.
class Issuer {
 public:
  Issuer(const PlacementProblem& problem, const Labels& labels, int host)
      : problem_(problem),
        labels_(labels),
        host_(host),
        read_(labels.size(), problem.values),
        made_(labels.size(), problem.values),
        rank_(labels.size()),
        waits_for_(labels.size(), 0),
        copy_to_(problem.values.size() * static_cast<size_t>(problem.labels), -1),
        is_done_(labels.size(), false),
        causes_(labels.size(), -1),
        devices_(static_cast<size_t>(problem.labels)),
        links_(static_cast<size_t>(problem.labels * problem.labels)) {
    step_.runs.resize(labels.size());
  }

  SimulatedStep run(const std::vector<int>& order) {
    std::vector<int> program(labels_.size());
    std::iota(program.begin(), program.end(), 0);
    if (!order.empty())
      std::stable_sort(program.begin(), program.end(), [&](int a, int b) { return order[a] < order[b]; });
    for (size_t i = 0; i < program.size(); ++i) rank_[program[i]] = static_cast<int>(i);
    for (int g : program) queue(g);
    for (const Device& device : devices_) anchor_copies(device);
    std::deque<int>& own = devices_[host_].groups;
    while (true) {
      if (give_to_devices()) continue;
      if (own.empty()) break;
      PW_CHECK(waits_for_[own.front()] == 0, "a simulated step has come to a stop");
      issue_group(devices_[host_]);
    }
    trace();
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
  struct CopyOfValue {
    int value = 0, from = 0, to = 0;
    int anchor = 0;  // groups of the device that are handed out before it
    bool is_ready = false;
    Moment arrived;
    int64_t time = 0;  // that it takes
  };
  // The streams of a device and what is to stand in them.
  struct Device {
    std::deque<int> groups, copies_in, copies_out;
    int issued = 0;                  // groups
    std::vector<int64_t> before{0};  // times of the groups in front of each, and of all
    Moment free, free_in, free_out;
  };

  // Values of groups behind the reader, and what is given, are the last step's.
  bool waits_for(int group, int v) const {
    const PlacementProblem::Value& value = problem_.values[v];
    return !value.is_given && rank_[value.producer] < rank_[group];
  }

  void queue(int g) {
    const int label = labels_[g];
    for (int v : read_[g]) {
      const int from = labels_[problem_.values[v].producer];
      waits_for_[g] += waits_for(g, v) ? 1 : 0;
      if (from == label) continue;
      if (copy_to_[v * problem_.labels + label] < 0) queue_copy(v, from, label, !waits_for(g, v));
      waits_for_[g] += 1;
    }
    devices_[label].groups.push_back(g);
    devices_[label].before.push_back(devices_[label].before.back() + problem_.costs[g][label]);
  }

  // A copy to the host begins as soon as it can.
  void queue_copy(int v, int from, int to, bool is_ready) {
    CopyOfValue copy{v, from, to, 0, is_ready, {}, problem_.values[v].moves[from * problem_.labels + to]};
    const auto number = static_cast<int>(copies_.size());
    copy_to_[v * problem_.labels + to] = number;
    if (to == host_) {
      devices_[from].copies_out.push_back(number);
    } else {
      copy.anchor = static_cast<int>(devices_[to].groups.size());
      devices_[to].copies_in.push_back(number);
    }
    copies_.push_back(copy);
  }

  // Each begins so many groups before its reader as hide it and those that follow it: they take turns.
  void anchor_copies(const Device& device) {
    const std::vector<int64_t>& before = device.before;
    int64_t begin = before.back();
    for (size_t c = device.copies_in.size(); c-- > 0;) {
      CopyOfValue& copy = copies_[device.copies_in[c]];
      begin = std::min(begin, before[copy.anchor]) - copy.time;
      auto late = std::upper_bound(before.begin(), before.begin() + copy.anchor + 1, begin);
      copy.anchor = std::max(static_cast<int>(late - before.begin()) - 1, 0);
    }
  }

  bool give_to_devices() {
    bool any = false;
    for (int label = 0; label < problem_.labels; ++label) {
      Device& device = devices_[label];
      if (label == host_) continue;
      while (true) {
        if (!device.copies_out.empty() && copies_[device.copies_out.front()].is_ready)
          issue_copy(device.copies_out, device.free_out);
        else if (!device.copies_in.empty() && copies_[device.copies_in.front()].is_ready &&
                 copies_[device.copies_in.front()].anchor <= device.issued)
          issue_copy(device.copies_in, device.free_in);
        else if (!device.groups.empty() && waits_for_[device.groups.front()] == 0)
          issue_group(device);
        else
          break;
        any = true;
      }
    }
    return any;
  }

  void issue_group(Device& device) {
    const int g = device.groups.front(), label = labels_[g];
    device.groups.pop_front();
    ++device.issued;
    Moment start = device.free;
    start.wait_for(devices_[host_].free);
    for (int v : read_[g]) {
      start.wait_for(made(v));
      if (int copy = copy_to_[v * problem_.labels + label]; copy >= 0) start.wait_for(copies_[copy].arrived);
    }
    causes_[g] = start.cause;
    step_.runs[g] = {start.time, start.time + problem_.costs[g][label]};
    is_done_[g] = true;
    device.free = {step_.runs[g].end, g};
    for (int v : made_[g]) provide(v);
  }

  void provide(int v) {
    for (int to = 0; to < problem_.labels; ++to)
      if (int copy = copy_to_[v * problem_.labels + to]; copy >= 0) copies_[copy].is_ready = true;
    for (int consumer : problem_.values[v].consumers)
      if (waits_for(consumer, v)) --waits_for_[consumer];
  }

  Moment made(int v) const {
    const PlacementProblem::Value& value = problem_.values[v];
    if (value.is_given || !is_done_[value.producer]) return {};
    return {step_.runs[value.producer].end, value.producer};
  }

  void issue_copy(std::deque<int>& queue, Moment& stream) {
    CopyOfValue& copy = copies_[queue.front()];
    queue.pop_front();
    Moment& link = links_[copy.from * problem_.labels + copy.to];
    Moment start = made(copy.value);
    start.wait_for(stream);
    start.wait_for(link);
    start.wait_for(devices_[host_].free);
    copy.arrived = {start.time + copy.time, start.cause};
    stream = link = copy.arrived;
    step_.copies.push_back({copy.value, copy.from, copy.to, start.time, copy.arrived.time});
    for (int consumer : problem_.values[copy.value].consumers)
      if (labels_[consumer] == copy.to) --waits_for_[consumer];
  }

  void trace() {
    int last = 0;
    for (int g = 0; g < problem_.groups(); ++g)
      if (step_.runs[g].end > step_.runs[last].end) last = g;
    step_.makespan = step_.runs[last].end;
    for (int g = last; g >= 0; g = causes_[g]) step_.critical.push_back(g);
  }

  const PlacementProblem& problem_;
  const Labels& labels_;
  int host_;
  ValuesOf<Consumers> read_;
  ValuesOf<Producer> made_;
  std::vector<int> rank_;       // of each group, its place in the program
  std::vector<int> waits_for_;  // of each group, values that are still to be handed out
  std::vector<int> copy_to_;    // [value * labels + label]; -1: none
  std::vector<CopyOfValue> copies_;
  std::vector<bool> is_done_;
  std::vector<int> causes_;  // of each group, the one that it waited for last
  std::vector<Device> devices_;
  std::vector<Moment> links_;  // [from * labels + to]
  SimulatedStep step_;
};

}  // namespace

SimulatedStep simulate_issued(const PlacementProblem& problem, const Labels& labels, const std::vector<int>& order,
                              int host) {
  return Issuer(problem, labels, host).run(order);
}

}  // namespace placewright
