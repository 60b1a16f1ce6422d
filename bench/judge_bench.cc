// Plans against what does without the optimiser, on simulated machines with hidden factors (docs/placement.md, "Judged
// from outside"): for each program and machine the ratio of the plan's step to the best other one's, and who that was.
//   judge_bench [SEEDS] [--details]      exit code 1 if any seed's is above 1.10
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>

#include "count_argument.h"
#include "judged_plans.h"
#include "placewright/base/error.h"

namespace {

using namespace placewright;

constexpr double allowed = 1.10;

bool judge(const testing::JudgedCase& judged, int seeds, bool details) {
  auto begin = std::chrono::steady_clock::now();
  testing::Judge judge(judged);
  const std::vector<std::string>& names = judge.names();
  std::vector<double> ratios;
  std::map<std::string, int> wins;
  std::vector<double> sums(names.size(), 0);
  for (int seed = 1; seed <= seeds; ++seed) {
    std::vector<double> seconds = judge.seconds(static_cast<uint64_t>(seed));
    size_t best = static_cast<size_t>(std::min_element(seconds.begin() + 1, seconds.end()) - seconds.begin());
    ratios.push_back(seconds[0] / seconds[best]);
    ++wins[names[best]];
    for (size_t i = 0; i < names.size(); ++i) sums[i] += seconds[i];
  }
  std::sort(ratios.begin(), ratios.end());
  const double median = ratios[ratios.size() / 2];
  std::string best = std::max_element(wins.begin(), wins.end(), [](const auto& a, const auto& b) {
                       return a.second < b.second;
                     })->first;
  double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%-12s %-6s %6zu ops %10.1f us   median %.3f  worst %.3f  best other: %s  (%.1f s)\n",
              judged.program.c_str(), judged.machine_name.c_str(), judged.graph.main().ops.size(),
              sums[0] / seeds * 1e6, median, ratios.back(), best.c_str(), took);
  std::vector<double> told = judge.seconds(0);
  for (size_t i = 0; i < names.size() && details; ++i)
    std::printf("    %-14s sum %10.1f us, simulated %10.1f us, as told %10.1f us, mean %10.1f us\n", names[i].c_str(),
                judge.predicted()[i] * 1e6, judge.simulated()[i] * 1e6, told[i] * 1e6, sums[i] / seeds * 1e6);
  std::fflush(stdout);
  return ratios.back() <= allowed;
}

}  // namespace

int main(int count, char** arguments) {
  int seeds = 20;
  bool details = false, good = true;
  for (int i = 1; i < count; ++i)
    if (std::strcmp(arguments[i], "--details") == 0)
      details = true;
    else
      seeds = count_argument(arguments[i], "judge_bench [--details] [SEEDS]");
  try {
    for (const testing::JudgedCase& judged : testing::judged_cases(true)) good = judge(judged, seeds, details) && good;
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return good ? 0 : 1;
}
