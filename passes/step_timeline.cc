#include "placewright/passes/step_timeline.h"

#include <algorithm>
#include <set>

#include "launch_tasks.h"
#include "placewright/base/duration.h"
#include "placewright/passes/placement.h"

namespace placewright {
namespace {

// The tasks of a compiled graph, and behind them copies of the results to where placement has them read: the host.
struct StepWork {
  LaunchTasks work;
  std::vector<int32_t> results;  // that are copied; of the last tasks, their numbers
};

StepWork work_of(const Graph& compiled, const PassContext& context, const std::vector<std::optional<double>>& seconds) {
  StepWork step{launch_tasks(compiled, context, seconds), {}};
  LaunchTasks& work = step.work;
  const auto devices = static_cast<int>(work.devices.size());
  const Function& function = compiled.main();
  std::set<Value> read;
  for (size_t r = 0; r < function.results.size(); ++r) {
    const Value result = function.results[r];
    const TensorType& type = function.tensor(result);
    if (!type.where.is_single() || !read.insert(result).second) continue;
    const DeviceId& from = type.where.devices[0];
    const int number = work.number_of(from);
    if (number == work.host) continue;
    std::vector<int> needs;
    if (work.task_of[result.op] >= 0) needs.push_back(work.task_of[result.op]);
    work.tasks.add(number, StepStream::copies_out, number * devices + work.host,
                   nanoseconds(transfer_seconds(context, from, work.devices[work.host], type.bytes())), needs);
    step.results.push_back(static_cast<int32_t>(r));
  }
  return step;
}

IssuedStep issue(const LaunchTasks& work) {
  return issue_step(work.tasks, static_cast<int>(work.devices.size()), work.host, IssueOrder::program);
}

int64_t last_end(const IssuedStep& issued) {
  int64_t done = 0;
  for (const IssuedStep::Run& run : issued.runs) done = std::max(done, run.end);
  return done;
}

}  // namespace

int64_t when_done(const Graph& compiled, const PassContext& context,
                  const std::vector<std::optional<double>>& seconds) {
  return last_end(issue(work_of(compiled, context, seconds).work));
}

StepTimeline simulate_step(const Graph& compiled, const PassContext& context) {
  const StepWork step = work_of(compiled, context, price_each(compiled, context));
  const LaunchTasks& work = step.work;
  const IssuedStep issued = issue(work);
  const Function& function = compiled.main();
  StepTimeline timeline;
  timeline.done = last_end(issued);
  std::vector<int32_t> event_of(static_cast<size_t>(work.tasks.size()), -1);
  // What takes no time ends with what it waited for.
  auto event_behind = [&](int task) {
    while (task >= 0 && event_of[task] < 0) task = issued.runs[task].cause;
    return task < 0 ? -1 : event_of[task];
  };
  const auto launches = static_cast<int>(work.op_of.size());
  for (int task : issued.order) {
    const StepTasks::Task& what = work.tasks[task];
    if (what.time == 0) continue;
    StepEvent event;
    if (task < launches) {
      event.op = work.op_of[task];
    } else {
      event.result = step.results[task - launches];
      event.op = function.results[event.result].op;
    }
    const auto devices = static_cast<int>(work.devices.size());
    event.device = work.devices[what.link < 0 ? what.device : what.link / devices];
    event.to = work.devices[what.link < 0 ? what.device : what.link % devices];
    event.begin = issued.runs[task].start;
    event.end = issued.runs[task].end;
    event.cause = event_behind(issued.runs[task].cause);
    event_of[task] = static_cast<int32_t>(timeline.events.size());
    timeline.events.push_back(std::move(event));
  }
  return timeline;
}

}  // namespace placewright
