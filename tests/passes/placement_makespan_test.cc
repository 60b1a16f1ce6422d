// The simulator's schedules against their rules, and placements by makespan against trying everything.
#include "placewright/passes/placement_makespan.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "random_problem.h"

namespace placewright {
namespace {

constexpr int64_t unrunnable = PlacementProblem::unrunnable;

// A program: groups read from earlier ones, and parameters, which are given and updated at the end.
PlacementProblem random_program(std::mt19937& random, int labels, int groups) {
  PlacementProblem problem{labels, {}, {}};
  int scale = draw(random, 0, 1) ? 6 : 1000;
  auto add = [&](int producer, std::vector<int> consumers, bool is_given) {
    PlacementProblem::Value value{producer, std::move(consumers), {}, 0, is_given};
    for (int from = 0; from < labels; ++from)
      for (int to = 0; to < labels; ++to) value.moves.push_back(from == to ? 0 : draw(random, 0, scale));
    problem.values.push_back(value);
  };
  for (int g = 0; g < groups; ++g) {
    problem.costs.emplace_back();
    for (int label = 0; label < labels; ++label) problem.costs.back().push_back(draw(random, 1, scale));
    std::vector<int> consumers;
    for (int c = g + 1; c < groups; ++c)
      if (draw(random, 0, 2) == 0) consumers.push_back(c);
    if (!consumers.empty()) add(g, consumers, false);
  }
  if (groups > 2 && draw(random, 0, 1)) add(groups - 1, {0}, true);  // the last one updates what the first one reads
  return problem;
}

// The rules, one by one.
void expect_valid(const PlacementProblem& problem, const Labels& labels, const SimulatedStep& schedule) {
  int64_t end = 0;
  std::map<int, int64_t> device_free;
  for (int g = 0; g < problem.groups(); ++g) {
    const SimulatedStep::Run& run = schedule.runs[g];
    EXPECT_EQ(run.end - run.start, problem.costs[g][labels[g]]);
    EXPECT_GE(run.start, device_free[labels[g]]);
    device_free[labels[g]] = run.end;
    end = std::max(end, run.end);
  }
  EXPECT_EQ(schedule.makespan, end);
  std::map<std::pair<int, int>, int64_t> link_free, copied;  // of a link; of (value, label), the arrival
  for (const SimulatedStep::Copy& copy : schedule.copies) {
    const PlacementProblem::Value& value = problem.values[copy.value];
    EXPECT_EQ(copy.from, labels[value.producer]);
    EXPECT_EQ(copy.end - copy.start, value.moves[copy.from * problem.labels + copy.to]);
    int64_t made = value.is_given ? 0 : schedule.runs[value.producer].end;
    int64_t& free = link_free[{copy.from, copy.to}];
    EXPECT_EQ(copy.start, std::max(made, free));
    free = copy.end;
    EXPECT_TRUE(copied.emplace(std::pair(copy.value, copy.to), copy.end).second) << "copied twice";
  }
  for (size_t v = 0; v < problem.values.size(); ++v) {
    const PlacementProblem::Value& value = problem.values[v];
    for (int consumer : value.consumers) {
      bool is_here = labels[consumer] == labels[value.producer];
      int64_t there = is_here ? (value.is_given ? 0 : schedule.runs[value.producer].end)
                              : copied.at({static_cast<int>(v), labels[consumer]});
      EXPECT_GE(schedule.runs[consumer].start, there);
    }
  }
  ASSERT_FALSE(schedule.critical.empty());
  EXPECT_EQ(schedule.runs[schedule.critical.front()].end, end);
}

Labels random_labels(std::mt19937& random, const PlacementProblem& problem) {
  Labels labels;
  for (int g = 0; g < problem.groups(); ++g) labels.push_back(draw(random, 0, problem.labels - 1));
  return labels;
}

TEST(PlacementMakespan, SchedulesKeepTheRules) {
  std::mt19937 random(31);
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    PlacementProblem problem = random_program(random, 2 + i % 3, 1 + i % 12);
    Labels labels = random_labels(random, problem);
    SimulatedStep schedule = simulate(problem, labels);
    expect_valid(problem, labels, schedule);
    ASSERT_LE(makespan_bound(problem), schedule.makespan);
    if (HasFailure()) FAIL() << "problem " << i;
  }
}

// What one stream of a device does: the runtime has one for launches, one for copies to it, one for copies to the host.
// What takes no time is not handed out.
void expect_one_at_a_time(std::vector<std::pair<int64_t, int64_t>> work) {
  std::erase_if(work, [](const auto& span) { return span.first == span.second; });
  std::sort(work.begin(), work.end());
  for (size_t i = 1; i < work.size(); ++i) EXPECT_GE(work[i].first, work[i - 1].second) << "two at once";
}

// The host's groups follow the program; what needs the host's work begins behind that; streams and links do one thing
// at a time.
void expect_issued(const PlacementProblem& problem, const Labels& labels, const SimulatedStep& step) {
  using Work = std::vector<std::pair<int64_t, int64_t>>;
  std::map<std::pair<bool, int>, Work> copying;  // of (to the host, device)
  std::map<std::pair<int, int>, Work> on_link;
  for (const SimulatedStep::Copy& copy : step.copies) {
    copying[{copy.to == 0, copy.to == 0 ? copy.from : copy.to}].emplace_back(copy.start, copy.end);
    on_link[{copy.from, copy.to}].emplace_back(copy.start, copy.end);
  }
  for (const auto& [stream, work] : copying) expect_one_at_a_time(work);
  for (const auto& [link, work] : on_link) expect_one_at_a_time(work);
  std::map<std::pair<int, int>, int64_t> copied;
  for (const SimulatedStep::Copy& copy : step.copies) {
    const PlacementProblem::Value& value = problem.values[copy.value];
    EXPECT_TRUE(copied.emplace(std::pair(copy.value, copy.to), copy.end).second) << "copied twice";
    EXPECT_EQ(copy.end - copy.start, value.moves[copy.from * problem.labels + copy.to]);
    EXPECT_GE(copy.start, value.is_given ? 0 : step.runs[value.producer].end);
  }
  std::map<int, Work> running;
  int64_t host_free = 0;
  for (int g = 0; g < problem.groups(); ++g) {
    const SimulatedStep::Run& run = step.runs[g];
    const int64_t takes = problem.costs[g][labels[g]];
    EXPECT_EQ(run.end - run.start, takes);
    if (takes == 0) continue;
    running[labels[g]].emplace_back(run.start, run.end);
    if (labels[g] != 0) continue;
    EXPECT_GE(run.start, host_free) << "the host's groups follow the program";
    host_free = run.end;
  }
  for (const auto& [device, work] : running) expect_one_at_a_time(work);
  for (size_t v = 0; v < problem.values.size(); ++v)
    for (int consumer : problem.values[v].consumers) {
      const PlacementProblem::Value& value = problem.values[v];
      const bool is_here = labels[consumer] == labels[value.producer];
      int64_t there = is_here ? (value.is_given ? 0 : step.runs[value.producer].end)
                              : copied.at({static_cast<int>(v), labels[consumer]});
      EXPECT_GE(step.runs[consumer].start, there);
    }
  ASSERT_FALSE(step.critical.empty());
  EXPECT_EQ(step.runs[step.critical.front()].end, step.makespan);
}

TEST(PlacementMakespan, WhatTheHostHandsOutKeepsTheRules) {
  std::mt19937 random(37);
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    PlacementProblem problem = random_program(random, 2 + i % 3, 1 + i % 12);
    Labels labels = random_labels(random, problem);
    SimulatedStep step = simulate(problem, labels, {}, 0);
    expect_issued(problem, labels, step);
    ASSERT_LE(makespan_bound(problem), step.makespan);
    if (HasFailure()) FAIL() << "problem " << i;
  }
}

// Searches give a step up once it is surely no better than what they have: never one that is.
TEST(PlacementMakespan, OnlyWhatIsNotDoneInTimeIsGivenUp) {
  std::mt19937 random(41);
  int given_up = 0;
  for (int i = 0; i < (full_counts() ? 100000 : 2000); ++i) {
    const PlacementProblem problem =
        i % 3 ? random_program(random, 2 + i % 3, 1 + i % 12) : random_problem(random, 2 + i % 2, 2 + i % 8);
    const Labels labels = random_labels(random, problem);
    std::vector<int> order;
    for (int g = 0; g < problem.groups() && i % 4 == 0; ++g) order.push_back(draw(random, 0, 20));
    const SimulatedStep whole = simulate(problem, labels, order, 0);
    const SimulatedStep in_time = simulate(problem, labels, order, 0, whole.makespan + 1);
    ASSERT_EQ(in_time.makespan, whole.makespan);
    ASSERT_EQ(in_time.critical, whole.critical);
    for (int g = 0; g < problem.groups(); ++g) ASSERT_EQ(in_time.runs[g].start, whole.runs[g].start);
    for (int64_t before : {whole.makespan / 2, whole.makespan - 1, whole.makespan}) {
      const SimulatedStep late = simulate(problem, labels, order, 0, before);
      ASSERT_GE(late.makespan, before);
      given_up += late.runs.empty();
    }
  }
  EXPECT_GT(given_up, 1000);
}

// The pass `overlap` gives other devices what they can do before the host's own launches: only what needs the host's
// work stands behind it.
TEST(PlacementMakespan, WorkBehindTheHostsWaitsOnlyWhereItReadsIt) {
  // On the accelerator 100, on the host 1000, on the accelerator 100: none reads another.
  PlacementProblem problem{2, {{5, 100}, {1000, 5}, {5, 100}}, {}};
  const Labels labels{1, 0, 1};
  EXPECT_EQ(simulate(problem, labels, {}, 0).runs[2].start, 100);
  EXPECT_EQ(simulate(problem, labels, {}, 0).makespan, 1000);
  problem.values.push_back({1, {2}, {0, 10, 10, 0}});
  SimulatedStep issued = simulate(problem, labels, {}, 0);
  EXPECT_EQ(issued.runs[0].end, 100);
  EXPECT_EQ(issued.runs[2].start, 1010);
  EXPECT_EQ(issued.makespan, 1110);
  EXPECT_EQ(issued.critical, (std::vector<int>{2, 1}));
}

// In the program the host's second group stands before what reads the first.
TEST(PlacementMakespan, TheHostHandsOutBetweenItsOwnGroups) {
  PlacementProblem problem{2, {{100, 5}, {1000, 5}, {5, 100}}, {}};
  problem.values.push_back({0, {2}, {0, 10, 10, 0}});
  SimulatedStep issued = simulate(problem, {0, 0, 1}, {}, 0);
  EXPECT_EQ(issued.runs[2].start, 110);
  EXPECT_EQ(issued.makespan, 1100);
}

// While an accelerator waits for the host, it does what the program has later, if that is done before it must go on.
TEST(PlacementMakespan, WaitingDevicesDoWhatFitsMeanwhile) {
  // Accelerator, host, accelerator in a chain; beside it something for the accelerator that nothing needs.
  auto step = [](int64_t beside) {
    PlacementProblem problem{2, {{5, 100}, {200, 5}, {5, 100}, {5, beside}, {5, beside}}, {}};
    problem.values.push_back({0, {1}, {0, 50, 50, 0}});
    problem.values.push_back({1, {2}, {0, 50, 50, 0}});
    return simulate(problem, {1, 0, 1, 1, 1}, {}, 0);
  };
  SimulatedStep filled = step(150);  // both: from 100, when the first is done, until 400
  EXPECT_EQ(filled.runs[2].start, 400);
  EXPECT_EQ(filled.runs[3].start, 100);
  EXPECT_EQ(filled.runs[4].end, 400);
  EXPECT_EQ(filled.makespan, 500);
  filled = step(151);  // one of them
  EXPECT_EQ(filled.runs[2].start, 400);
  EXPECT_EQ(filled.runs[3].end, 251);
  EXPECT_EQ(filled.runs[4].start, 500);
  filled = step(301);  // none may keep the chain waiting
  EXPECT_EQ(filled.runs[2].start, 400);
  EXPECT_EQ(filled.makespan, 500 + 2 * 301);
}

TEST(PlacementMakespan, CopiesHideBehindOtherGroups) {
  // Each group on the accelerator reads 50 from the host: all but the first arrive meanwhile, one after the other.
  PlacementProblem problem{2, {{5, 5}, {900, 100}, {900, 100}, {900, 100}}, {}};
  for (int reader : {1, 2, 3}) problem.values.push_back({0, {reader}, {0, 50, 50, 0}, 0, true});
  SimulatedStep issued = simulate(problem, {0, 1, 1, 1}, {}, 0);
  EXPECT_EQ(issued.runs[1].start, 50);
  EXPECT_EQ(issued.makespan, 350);
  // To it and from it at once.
  problem.costs.push_back({1, 900});
  problem.values.push_back({1, {4}, {0, 50, 50, 0}});
  issued = simulate(problem, {0, 1, 1, 1, 0}, {}, 0);
  EXPECT_EQ(issued.runs[4].start, 200);
  EXPECT_EQ(issued.makespan, 350);
}

TEST(PlacementMakespan, CyclesAndForeignOrdersStillRunEverything) {
  std::mt19937 random(33);
  for (int i = 0; i < 1000; ++i) {
    PlacementProblem problem = random_problem(random, 2 + i % 2, 2 + i % 8);  // values run in all directions
    Labels labels = random_labels(random, problem);
    std::vector<int> order;
    for (int g = 0; g < problem.groups(); ++g) order.push_back(draw(random, 0, 20));
    SimulatedStep schedule = simulate(problem, labels, order);
    for (int g = 0; g < problem.groups(); ++g)
      ASSERT_EQ(schedule.runs[g].end - schedule.runs[g].start, problem.costs[g][labels[g]]);
    ASSERT_LE(makespan_bound(problem, order), schedule.makespan);
    Labels by_heft = heft(problem, order);
    ASSERT_EQ(by_heft.size(), labels.size());
  }
}

TEST(PlacementMakespan, ParallelBranchesRunOnBothDevices) {
  // A source, two branches of three groups of 100, a sink; a copy takes 10.
  PlacementProblem problem{2, {}, {}};
  for (int g = 0; g < 8; ++g) problem.costs.push_back({g == 0 || g == 7 ? 10 : 100, g == 0 || g == 7 ? 10 : 100});
  auto add = [&](int producer, std::vector<int> consumers) {
    problem.values.push_back({producer, std::move(consumers), {0, 10, 10, 0}});
  };
  add(0, {1, 4});
  add(1, {2});
  add(2, {3});
  add(3, {7});
  add(4, {5});
  add(5, {6});
  add(6, {7});
  Solution serial = solve_placement(problem);
  EXPECT_EQ(simulate(problem, serial.labels).makespan, 620);
  MakespanSolution solution = solve_makespan(problem, serial.labels);
  EXPECT_EQ(solution.makespan, 330);  // 10 + 10 + 300 + 10: the other branch's copy arrives meanwhile
  EXPECT_EQ(solution.bound, 320);
  EXPECT_NE(solution.labels[1], solution.labels[4]);
}

TEST(PlacementMakespan, CopiesOverOneLinkQueue) {
  // Two values over one link, one after the other; over two links, at once.
  PlacementProblem problem{3, {{5, 5, 5}, {1, 1, 1}, {1, 1, 1}}, {}};
  std::vector<int64_t> moves{0, 20, 20, 20, 0, 20, 20, 20, 0};
  problem.values.push_back({0, {1}, moves});
  problem.values.push_back({0, {2}, moves});
  EXPECT_EQ(simulate(problem, {0, 1, 1}).makespan, 5 + 20 + 20 + 1);
  EXPECT_EQ(simulate(problem, {0, 1, 2}).makespan, 5 + 20 + 1);
  EXPECT_EQ(simulate(problem, {0, 1, 1}).critical, (std::vector<int>{2, 0}));
}

TEST(PlacementMakespan, CandidatesAreTheEarliestOfWhatIsDoneBeforeTheStart) {
  std::mt19937 random(38);
  int several = 0;
  for (int i = 0; i < 100; ++i) {
    const PlacementProblem problem = random_program(random, 2 + i % 2, 8);
    const Labels start = solve_placement(problem).labels;
    const MakespanSolution solution = solve_makespan(problem, start);
    ASSERT_LE(solution.candidates.size(), 3u);
    std::set<Labels> different;
    int64_t before = 0;
    for (const MakespanSolution::Candidate& candidate : solution.candidates) {
      EXPECT_TRUE(different.insert(candidate.labels).second);
      EXPECT_EQ(candidate.makespan, simulate(problem, candidate.labels).makespan);
      EXPECT_GE(candidate.makespan, std::max(before, solution.makespan));
      EXPECT_LT(candidate.makespan, simulate(problem, start).makespan);
      before = candidate.makespan;
    }
    several += solution.candidates.size() > 1 ? 1 : 0;
  }
  EXPECT_GT(several, 10);
}

TEST(PlacementMakespan, NearlyTheBestOfAllPlacements) {
  std::mt19937 random(37);
  int problems = full_counts() ? 2000 : 150, best_found = 0;
  double sum = 0;
  for (int i = 0; i < problems; ++i) {
    PlacementProblem problem = random_program(random, 2 + i % 2, 3 + i % 6);
    if (i % 4 == 0) problem.costs[0][0] = unrunnable;
    MakespanSolution solution = solve_makespan(problem, solve_placement(problem).labels);
    int64_t best = unrunnable;
    for_all_placements(problem,
                       [&](const Labels& labels) { best = std::min(best, simulate(problem, labels).makespan); });
    ASSERT_LE(solution.bound, best);
    ASSERT_GE(solution.makespan, best);
    ASSERT_EQ(solution.makespan, simulate(problem, solution.labels).makespan);
    best_found += solution.makespan == best;
    sum += static_cast<double>(solution.makespan) / static_cast<double>(best);
  }
  EXPECT_GT(best_found, problems * 7 / 10);
  EXPECT_LT(sum / problems, 1.05);
  RecordProperty("optimal", best_found);
  RecordProperty("mean", std::to_string(sum / problems));
}

}  // namespace
}  // namespace placewright
