// How a step's work is handed out, and when each part of it then runs. The host hands out all of it, and does its own
// launches when it comes to them: other devices get theirs first. Each other device has three streams: its launches,
// copies to it, copies from it to the host; each directed link does one copy at a time. Internal to passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace placewright {

enum class StepStream : uint8_t { launches, copies_in, copies_out };

// Launches and copies in program order.
class StepTasks {
 public:
  struct Task {
    int device = 0;  // whose stream it stands in
    StepStream stream = StepStream::launches;
    int link = -1;     // of a copy
    int64_t time = 0;  // 0: nothing is handed out; it is there when what it needs is
    int first_need = 0;
    int64_t behind = 0;  // what the step takes at least when the task is done
  };

  // `needs`: numbers of tasks before it. Its own number.
  int add(int device, StepStream stream, int link, int64_t time, const std::vector<int>& needs, int64_t behind = 0);
  void clear();

  int size() const { return static_cast<int>(tasks_.size()); }
  const Task& operator[](int task) const { return tasks_[task]; }
  const int* begin_needs(int task) const { return needs_.data() + tasks_[task].first_need; }
  const int* end_needs(int task) const {
    return needs_.data() + (task + 1 < size() ? static_cast<size_t>(tasks_[task + 1].first_need) : needs_.size());
  }

 private:
  std::vector<Task> tasks_;
  std::vector<int> needs_;
};

struct IssuedStep {
  struct Run {
    int64_t start = 0, end = 0;
    int cause = -1;  // the task that it waited for last
  };
  std::vector<int> order;  // as they are handed out
  std::vector<Run> runs;   // of each task
  bool is_late = false;    // given up: it is not done before it should be
};

enum class IssueOrder : uint8_t {
  program,   // as the tasks stand
  streams,   // other devices first, each stream in the program's order; a copy in so late that launches just hide it
  gap_free,  // besides, what is done before the first of its stream can begin goes before it
};

// `host`: the device that hands out. `before`: a step that is surely not done before that is given up.
IssuedStep issue_step(const StepTasks& tasks, int devices, int host, IssueOrder order,
                      int64_t before = std::numeric_limits<int64_t>::max());

}  // namespace placewright
