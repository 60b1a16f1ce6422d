#include "step_issue.h"

#include <algorithm>

#include "placewright/base/error.h"

namespace placewright {

int StepTasks::add(int device, StepStream stream, int link, int64_t time, const std::vector<int>& needs,
                   int64_t behind) {
  tasks_.push_back({device, stream, link, time, static_cast<int>(needs_.size()), behind});
  needs_.insert(needs_.end(), needs.begin(), needs.end());
  return size() - 1;
}

void StepTasks::clear() {
  tasks_.clear();
  needs_.clear();
}

namespace {

class Issuer {
 public:
  Issuer(const StepTasks& tasks, int devices, int host, int64_t before)
      : tasks_(tasks),
        host_(host),
        before_(before),
        devices_(static_cast<size_t>(devices)),
        link_last_(static_cast<size_t>(devices) * static_cast<size_t>(devices), -1),
        is_issued_(static_cast<size_t>(tasks.size()), false),
        missing_(static_cast<size_t>(tasks.size()), 0),
        anchor_(static_cast<size_t>(tasks.size()), 0) {
    step_.runs.resize(static_cast<size_t>(tasks.size()));
    step_.order.reserve(static_cast<size_t>(tasks.size()));
    find_readers();
  }

  IssuedStep run(IssueOrder order) {
    if (order == IssueOrder::program) {
      for (int task = 0; task < tasks_.size(); ++task) issue(task);
      return std::move(step_);
    }
    for (int task = 0; task < tasks_.size(); ++task) queue(task);
    for (const Device& device : devices_) anchor_copies(device);
    Queue& own = devices_[host_].streams[0];
    while (true) {
      give_to_devices();
      if (step_.is_late) return std::move(step_);
      if (own.is_empty()) break;
      PW_CHECK(is_ready(own.front()), "the step's order has come to a stop");
      if (order == IssueOrder::gap_free && fill_gaps(own.front())) continue;
      issue(own.front());
      own.skip(is_issued_);
    }
    PW_CHECK(step_.order.size() == static_cast<size_t>(tasks_.size()), "a step's work is not all handed out");
    return std::move(step_);
  }

 private:
  struct Queue {
    std::vector<int> tasks;
    size_t next = 0;
    int last = -1;     // that took time
    int64_t left = 0;  // what takes all that is not handed out

    bool is_empty() const { return next == tasks.size(); }
    int front() const { return tasks[next]; }
    void skip(const std::vector<bool>& is_issued) {
      while (next < tasks.size() && is_issued[static_cast<size_t>(tasks[next])]) ++next;
    }
  };
  struct Device {
    Queue streams[3];                         // as StepStream
    int launched = 0;                         // that are handed out
    std::vector<int64_t> times_before = {0};  // of each launch, and of all: sums
  };

  Queue& stream_of(int task) { return devices_[tasks_[task].device].streams[static_cast<int>(tasks_[task].stream)]; }

  void find_readers() {
    first_reader_.assign(static_cast<size_t>(tasks_.size()) + 1, 0);
    for (int task = 0; task < tasks_.size(); ++task)
      for (const int* need = tasks_.begin_needs(task); need != tasks_.end_needs(task); ++need) {
        PW_CHECK(*need < task, "a task that needs a later one");
        ++first_reader_[*need + 1];
        ++missing_[task];
      }
    for (int task = 0; task < tasks_.size(); ++task) first_reader_[task + 1] += first_reader_[task];
    readers_.resize(static_cast<size_t>(first_reader_.back()));
    std::vector<int> at(first_reader_.begin(), first_reader_.end() - 1);
    for (int task = 0; task < tasks_.size(); ++task)
      for (const int* need = tasks_.begin_needs(task); need != tasks_.end_needs(task); ++need)
        readers_[at[*need]++] = task;
  }

  void queue(int task) {
    const StepTasks::Task& what = tasks_[task];
    Device& device = devices_[what.device];
    Queue& stream = device.streams[static_cast<int>(what.stream)];
    anchor_[task] = static_cast<int>(device.streams[0].tasks.size());
    stream.tasks.push_back(task);
    stream.left += what.time;
    if (what.stream == StepStream::launches) device.times_before.push_back(device.times_before.back() + what.time);
  }

  // Each copy to a device begins at the last launch from which on there is enough to hide it and those that follow it:
  // they take turns.
  void anchor_copies(const Device& device) {
    const std::vector<int64_t>& before = device.times_before;
    const std::vector<int>& copies = device.streams[static_cast<int>(StepStream::copies_in)].tasks;
    int64_t begin = before.back();
    for (size_t c = copies.size(); c-- > 0;) {
      int& anchor = anchor_[copies[c]];
      begin = std::min(begin, before[anchor]) - tasks_[copies[c]].time;
      auto late = std::upper_bound(before.begin(), before.begin() + anchor + 1, begin);
      anchor = std::max(static_cast<int>(late - before.begin()) - 1, 0);
    }
  }

  bool is_ready(int task) const { return missing_[task] == 0; }
  bool may_go(int task) const {
    const StepTasks::Task& what = tasks_[task];
    return is_ready(task) && (what.stream != StepStream::copies_in || anchor_[task] <= devices_[what.device].launched);
  }

  // The last of what the task waits for.
  IssuedStep::Run start_of(int task) {
    const StepTasks::Task& what = tasks_[task];
    IssuedStep::Run run;
    auto wait_for = [&](int other) {
      if (other >= 0 && step_.runs[other].end > run.start) run = {step_.runs[other].end, 0, other};
    };
    const bool is_launch = what.stream == StepStream::launches;
    if (is_launch && what.time > 0) wait_for(stream_of(task).last);
    for (const int* need = tasks_.begin_needs(task); need != tasks_.end_needs(task); ++need) wait_for(*need);
    if (what.time > 0) {
      if (!is_launch) wait_for(stream_of(task).last);
      if (what.link >= 0) wait_for(link_last_[what.link]);
      wait_for(devices_[host_].streams[0].last);
    }
    run.end = run.start + what.time;
    return run;
  }

  void issue(int task) {
    const StepTasks::Task& what = tasks_[task];
    step_.runs[task] = start_of(task);
    step_.order.push_back(task);
    is_issued_[task] = true;
    if (what.stream == StepStream::launches) ++devices_[what.device].launched;
    if (what.time > 0) {
      Queue& stream = stream_of(task);
      stream.last = task;
      stream.left -= what.time;
      if (what.link >= 0) link_last_[what.link] = task;
      note_lateness(task, stream);
    }
    for (int at = first_reader_[task]; at < first_reader_[task + 1]; ++at) --missing_[readers_[at]];
  }

  // A stream does one thing after the other, and all of them go on behind what the host does itself.
  void note_lateness(int task, const Queue& stream) {
    int64_t then = std::max(tasks_[task].behind, stream.left);
    if (&stream == &devices_[host_].streams[0])
      for (const Device& device : devices_)
        for (const Queue& other : device.streams) then = std::max(then, other.left);
    step_.is_late = step_.is_late || step_.runs[task].end + then >= before_;
  }

  bool issue_front(Queue& queue) {
    if (step_.is_late || queue.is_empty() || !may_go(queue.front())) return false;
    issue(queue.front());
    queue.skip(is_issued_);
    return true;
  }

  void give_to_devices() {
    for (bool any = true; any;) {
      any = false;
      for (int number = 0; number < static_cast<int>(devices_.size()); ++number) {
        auto& [launches, copies_in, copies_out] = devices_[number].streams;
        while (issue_front(copies_out) || issue_front(copies_in) || (number != host_ && issue_front(launches)))
          any = true;
      }
    }
  }

  // All that is not handed out waits for the host's next launch: until that ends the streams of other devices are free.
  bool fill_gaps(int own) {
    if (tasks_[own].time == 0) return false;
    const int64_t until = start_of(own).end;
    bool any = false;
    for (int number = 0; number < static_cast<int>(devices_.size()); ++number)
      for (Queue& queue : devices_[number].streams)
        if (number != host_ && !queue.is_empty()) any = fill_gap(queue, until) || any;
    return any;
  }

  // What can be done before the first of the queue can begin goes before it.
  bool fill_gap(Queue& queue, int64_t until) {
    constexpr size_t most_looked_at = 64;
    int64_t waited = 0;  // for what is not handed out either
    for (const int* need = tasks_.begin_needs(queue.front()); need != tasks_.end_needs(queue.front()); ++need)
      if (!is_issued_[*need]) waited = std::max(waited, tasks_[*need].time);
    until += waited;
    const size_t last = std::min(queue.tasks.size(), queue.next + 1 + most_looked_at);
    bool any = false;
    for (size_t i = queue.next + 1; i < last && !step_.is_late; ++i) {
      const int task = queue.tasks[i];
      if (is_issued_[task] || !may_go(task) || start_of(task).end > until) continue;
      issue(task);
      any = true;
    }
    return any;
  }

  const StepTasks& tasks_;
  int host_;
  int64_t before_;  // a step that is not done by then is given up
  std::vector<Device> devices_;
  std::vector<int> link_last_;
  std::vector<bool> is_issued_;
  std::vector<int> missing_;  // of what a task needs, what is not handed out
  std::vector<int> anchor_;   // of a copy in: launches of its device that are handed out before it
  std::vector<int> first_reader_, readers_;
  IssuedStep step_;
};

}  // namespace

IssuedStep issue_step(const StepTasks& tasks, int devices, int host, IssueOrder order, int64_t before) {
  return Issuer(tasks, devices, host, before).run(order);
}

}  // namespace placewright
