// Plans against what does without the optimiser on real hardware: the processor, and a second device that runs the same
// kernels on a thread of its own and is slower by a factor; wall clock (docs/placement.md, "Judged from outside").
//   throttle_bench [--details] [ROUNDS [PROGRAM...]]
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "count_argument.h"
#include "judged_wall.h"
#include "placewright/base/error.h"

namespace {

using namespace placewright;

void judge(const testing::JudgedCase& judged, double host_factor, double device_factor, const Profile& measured,
           int rounds, bool details) {
  const testing::ThrottledMachine machine(host_factor, device_factor, measured);
  const auto plans = testing::measure_plans(judged.graph, machine, rounds);
  auto best = std::min_element(plans.begin() + 1, plans.end(),
                               [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  std::printf("(%s) host x%g, device x%g: plan %9.1f us, %3d of %3zu ops on the device; %.3f of the best other, %s\n",
              judged.program.c_str(), host_factor, device_factor, plans[0].seconds * 1e6, plans[0].ops_on_device,
              judged.graph.main().ops.size(), plans[0].seconds / best->seconds, best->name.c_str());
  if (details)
    for (const testing::MeasuredPlan& plan : plans)
      std::printf("    %-14s %9.1f us, predicted %9.1f, %3d ops on the device\n", plan.name.c_str(), plan.seconds * 1e6,
                  plan.predicted * 1e6, plan.ops_on_device);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<std::string> given(arguments + 1, arguments + count);
  const bool details = std::erase(given, "--details") > 0;
  const char* usage = "throttle_bench [--details] [ROUNDS [PROGRAM...]]";
  const int rounds = given.empty() ? 15 : placewright::count_argument(given[0].c_str(), usage);
  auto is_wanted = [&](const std::string& program) {
    return given.size() < 2 || std::find(given.begin() + 1, given.end(), program) != given.end();
  };
  try {
    const Profile measured = testing::measure_processor();
    for (const testing::JudgedCase& judged : testing::judged_cases(false))
      if (judged.machine_name == "small" && is_wanted(judged.program))  // one entry a program
        for (auto [host_factor, device_factor] :
             {std::pair(1.0, 1.5), {3.0, 1.0}, {20.0, 1.0}, {1.0, 20.0}, {2.0, 1.5}})
          judge(judged, host_factor, device_factor, measured, rounds, details);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
