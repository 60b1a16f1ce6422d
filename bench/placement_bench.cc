// What the optimiser of placements takes on synthetic training steps: chains of layers with parameters, activations
// that the backward half reads again, and some values with many readers. Best of several runs, in milliseconds.
//   placement_bench [REPEATS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>

#include "count_argument.h"
#include "placewright/passes/placement_makespan.h"
#include "placewright/passes/placement_memory.h"
#include "placewright/passes/placement_problem.h"

namespace {

using placewright::PlacementProblem;

// `groups` groups: a third of them parameters with their update, a third forward, a third backward.
PlacementProblem training_step(int groups, int labels, uint32_t seed) {
  std::mt19937 random(seed);
  auto draw = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
  };
  PlacementProblem problem{labels, {}, {}};
  int layers = groups / 3;
  auto forward = [](int layer) { return 3 * layer; };
  auto parameter = [](int layer) { return 3 * layer + 1; };
  auto backward = [](int layer) { return 3 * layer + 2; };
  for (int g = 0; g < 3 * layers; ++g) {
    int64_t work = g % 3 == 1 ? draw(0, 3000) : draw(1000, 400000);
    std::vector<int64_t> costs;
    for (int label = 0; label < labels; ++label)
      costs.push_back(label == 0 ? work : 4000 + work / draw(2, 20));  // a launch, then faster
    if (draw(0, 39) == 0) costs[static_cast<size_t>(draw(0, 1) ? 0 : labels - 1)] = PlacementProblem::unrunnable;
    problem.costs.push_back(costs);
  }
  auto add = [&](int producer, std::vector<int> consumers, int64_t bytes) {
    PlacementProblem::Value value{producer, std::move(consumers), {}};
    for (int from = 0; from < labels; ++from)
      for (int to = 0; to < labels; ++to)
        value.moves.push_back(from == to ? 0 : 7000 + bytes / (from && to ? 200 : 25));
    value.bytes = bytes;
    value.is_given = producer % 3 == 1;
    problem.values.push_back(std::move(value));
  };
  for (int layer = 0; layer < layers; ++layer) {
    std::vector<int> readers{backward(layer)};
    if (layer + 1 < layers) readers.push_back(forward(layer + 1));
    if (layer + 8 < layers && draw(0, 3) == 0) readers.push_back(forward(layer + 8));
    add(forward(layer), readers, draw(1000, 4000000));
    add(parameter(layer), {forward(layer), backward(layer)}, draw(1000, 4000000));
    std::vector<int> read{parameter(layer)};
    if (layer > 0) read.push_back(backward(layer - 1));
    add(backward(layer), read, draw(1000, 4000000));
  }
  return problem;
}

double best_ms(int repeats, const std::function<void()>& run) {
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void measure(const char* what, int labels, int groups, int repeats) {
  PlacementProblem problem = training_step(groups, labels, 7);
  placewright::Solution solution;
  double ms = best_ms(repeats, [&] { solution = placewright::solve_placement(problem); });
  std::printf("%-24s %6d groups %9.2f ms  energy %lld\n", what, groups, ms, static_cast<long long>(solution.energy));
}

// With half the memory that the parameters need on the last device.
void measure_capped(int groups, int repeats) {
  PlacementProblem problem = training_step(groups, 2, 7);
  placewright::MemoryLimits limits{{placewright::unlimited_memory, 0}, {}, {}};
  limits.bytes.assign(problem.costs.size(), {0, 0});
  for (const PlacementProblem::Value& value : problem.values)
    if (value.is_given) {
      limits.bytes[static_cast<size_t>(value.producer)] = {value.bytes, value.bytes};
      limits.caps[1] += value.bytes / 2;
    }
  placewright::CappedSolution solution;
  double ms = best_ms(repeats, [&] { solution = placewright::solve_with_memory(problem, limits); });
  std::printf("%-24s %6d groups %9.2f ms  energy %lld gap %.4f%%\n", "two devices, capped", groups, ms,
              static_cast<long long>(solution.energy), solution.gap() * 100);
}

// Three devices that work at once: one simulation, and the whole search.
void measure_at_once(int groups) {
  PlacementProblem problem = training_step(groups, 3, 7);
  placewright::Labels labels = placewright::solve_placement(problem).labels;
  double one = best_ms(3, [&] { placewright::simulate(problem, labels); });
  placewright::MakespanSolution solution;
  double all = best_ms(1, [&] { solution = placewright::solve_makespan(problem, labels); });
  std::printf("%-24s %6d groups %9.2f ms  a simulation %.2f ms, %d of them; makespan %lld, bound %lld\n",
              "three devices, at once", groups, all, one, solution.simulations,
              static_cast<long long>(solution.makespan), static_cast<long long>(solution.bound));
}

}  // namespace

int main(int count, char** arguments) {
  int repeats = count > 1 ? placewright::count_argument(arguments[1], "placement_bench [REPEATS]") : 5;
  for (int groups : {10000, 50000}) measure("two devices", 2, groups, repeats);
  for (int groups : {10000, 50000}) measure("three devices", 3, groups, repeats);
  for (int groups : {10000, 50000}) measure_capped(groups, repeats);
  measure_at_once(10000);
}
