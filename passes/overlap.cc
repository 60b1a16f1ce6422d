// The order of a step's work where several devices share it. The host does its own launches when it comes to them;
// what it gives to other devices runs beside that. So those get theirs first, and a copy to a device stands so many of
// that device's launches before its reader as it takes to hide it, and no more: its memory is in use from there on.
// While a device waits for the host's work, it does what can be done meanwhile.
#include <algorithm>

#include "launch_tasks.h"
#include "movement.h"
#include "placewright/passes/memory_need.h"
#include "rewrite.h"
#include "surely_fits.h"

namespace placewright {
namespace {

bool is_shared(const Function& function, const DeviceId& host) {
  for (const Op& op : function.ops)
    if (!op.results.empty() && !op.results[0].tensor().where.devices.empty() &&
        op.results[0].tensor().where.devices[0] != host)
      return true;
  return false;
}

// Numbers of ops: first what is no work, then the rest as it is handed out.
std::vector<int32_t> order_of(const LaunchTasks& work, const IssuedStep& issued) {
  std::vector<int32_t> order;
  for (int32_t op = 0; op < static_cast<int32_t>(work.task_of.size()); ++op)
    if (work.task_of[op] < 0) order.push_back(op);
  for (int task : issued.order) order.push_back(work.op_of[task]);
  return order;
}

}  // namespace

std::vector<int32_t> overlap_order(const Graph& graph, const PassContext& context,
                                   const std::vector<std::optional<double>>& seconds) {
  if (!is_shared(graph.main(), host_device(context))) return {};
  const LaunchTasks work = launch_tasks(graph, context, seconds);
  const bool may_lack = !surely_fits(graph, context);
  for (IssueOrder how : {IssueOrder::gap_free, IssueOrder::streams}) {
    std::vector<int32_t> order =
        order_of(work, issue_step(work.tasks, static_cast<int>(work.devices.size()), work.host, how));
    if (std::is_sorted(order.begin(), order.end())) return {};
    if (!may_lack || measure_need(in_order(graph, order), context).excess() == 0) return order;
  }
  return {};
}

Graph overlap(Graph graph, const PassContext& context) {
  if (!is_shared(graph.main(), host_device(context))) return graph;
  const std::vector<int32_t> order = overlap_order(graph, context, price_each(graph, context));
  return order.empty() ? graph : in_order(std::move(graph), order);
}

}  // namespace placewright
