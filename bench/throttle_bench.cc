// Plans against what does without the optimiser on real hardware: the processor, and a second device that runs the same
// kernels on a thread of its own and is slower by a factor; wall clock (docs/placement.md, "Judged from outside").
//   throttle_bench [ROUNDS]
#include <algorithm>
#include <cstdio>

#include "count_argument.h"
#include "judged_wall.h"
#include "placewright/base/error.h"

int main(int count, char** arguments) {
  using namespace placewright;
  const int rounds = count > 1 ? count_argument(arguments[1], "throttle_bench [ROUNDS]") : 15;
  try {
    const Profile measured = testing::measure_processor();
    for (auto [host_factor, device_factor] : {std::pair(1.0, 1.5), {3.0, 1.0}, {20.0, 1.0}, {1.0, 20.0}, {2.0, 1.5}})
      for (const testing::JudgedCase& judged : testing::judged_cases(false)) {
        if (judged.machine_name != "small") continue;  // one entry a program
        const testing::ThrottledMachine machine(host_factor, device_factor, measured);
        const auto plans = testing::measure_plans(judged.graph, machine, judged.program == "e" ? 3 : rounds);
        auto best = std::min_element(plans.begin() + 1, plans.end(),
                                     [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
        std::printf(
            "(%s) host x%g, device x%g: plan %9.1f us (predicted %9.1f), %3d of %3zu ops on the device; "
            "%.3f of the best other, %s\n",
            judged.program.c_str(), host_factor, device_factor, plans[0].seconds * 1e6, plans[0].predicted * 1e6,
            plans[0].ops_on_device, judged.graph.main().ops.size(), plans[0].seconds / best->seconds,
            best->name.c_str());
        std::fflush(stdout);
      }
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
