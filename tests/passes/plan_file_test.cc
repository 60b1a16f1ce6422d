// Plan files: exact round trips, what they do to placement, drift with its causes, and what is refused.
#include "placewright/passes/plan_file.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "passes/test_machine.h"

namespace placewright {
namespace {

using ::testing::HasSubstr;

// A chain that is cheap on the accelerator once it is there; `pin` stands behind the exp.
std::string model(const std::string& pin = "", int64_t rows = 4096, const std::string& more = "") {
  return fmt::format(R"(graph v1

origins {{
  #1 = forward 0 in "net.a" from "net.cc":10
  #2 = forward 0 in "net.b" from "net.cc":20
  #3 = update 0 from "train.cc":30
  #4 = forward 0 in "net.c" from "net.cc":40
}}

function "main"(%0, %1) {{
  %0 = input() {{kind="argument", name="x"}} : f32[{0},1024]
  %1 = input() {{kind="state", name="w"}} : f32[{0},1024]
  %2 = exp(%0) : f32[{0},1024]{1} #1
  %3 = mul(%2, %1) : f32[{0},1024] #2
  %4 = sub(%1, %3) : f32[{0},1024] #3
  %5 = tanh(%3) : f32[{0},1024] #2
{2}  update %1 = %4
  return %5
}}
)",
                     rows, pin, more);
}

PlanFile plan_of(const std::string& text, const TestMachine& machine, const PlanFile* followed = nullptr) {
  Graph captured = parse_graph(text);
  PassContext context = machine.context;
  context.plan = followed;
  Graph graph = run_passes(captured, context, {}, {}, "shard");
  PlacementPlan plan = plan_placement(graph, context);
  Graph compiled = run_passes(apply_placement(std::move(graph), plan), context, {}, "insert_transfers");
  settle_ledger(plan, compiled, context);
  PlanFile file = make_plan_file(plan, compiled, make_plan_header(captured, machine.machine, "none", {}), followed);
  if (!followed) file.name = "now";
  file.header.compiler = "1.2.3";
  file.header.compiler_hash = "abc";
  file.proof = make_proof(plan);
  return file;
}

PlanFile edited(const PlanFile& plan, const std::string& key, const std::string& device, bool pin) {
  PlanFile made = parse_plan_file(print_plan_file(plan), "plan.lock");
  for (PlanFile::Row& row : made.rows)
    if (row.key == key) {
      row.devices = {parse_device(device)};
      if (pin) row.cause = "pin";
    }
  return made;
}

std::string device(const PlanFile& plan, const std::string& key) { return plan.find(key)->devices[0].to_string(); }

std::vector<DriftClass> kinds(const std::vector<Drift>& drifts) {
  std::vector<DriftClass> kinds;
  for (const Drift& drift : drifts) kinds.push_back(drift.kind);
  return kinds;
}

const Drift* find(const std::vector<Drift>& drifts, DriftClass kind, const std::string& what) {
  for (const Drift& drift : drifts)
    if (drift.kind == kind && drift.what == what) return &drift;
  return nullptr;
}

TEST(PlanFiles, TextGoesThereAndBack) {
  TestMachine machine;
  PlanFile plan = plan_of(model(), machine);
  ASSERT_TRUE(plan.proof);
  for (bool with_proof : {true, false}) {
    std::string text = print_plan_file(plan, with_proof);
    PlanFile read = parse_plan_file(text, "plan.lock");
    EXPECT_EQ(print_plan_file(read, true), text);
    ASSERT_EQ(read.rows.size(), plan.rows.size());
    for (size_t i = 0; i < plan.rows.size(); ++i) EXPECT_TRUE(read.rows[i].says_the_same(plan.rows[i]));
    EXPECT_EQ(read.header, plan.header);
    EXPECT_EQ(read.transfers, plan.transfers);
    EXPECT_TRUE(find_drift(read, plan).empty());
  }
}

TEST(PlanFiles, WhatFreesMemoryIsNoPartOfAnOptimum) {
  TestMachine machine;
  machine.context.targets.erase({"sim", 1});
  Graph captured = parse_graph(model());
  PlacementPlan plan = plan_placement(captured, machine.context);
  PlanFile file = plan_of(model(), machine);
  file.proof = make_proof(plan);
  ASSERT_TRUE(file.proof && file.proof->is_optimal());
  plan.relief.emplace_back().seconds = 3e-6;
  plan.relief.emplace_back().seconds = 1e-6;
  file.proof = make_proof(plan);
  EXPECT_EQ(file.proof->relief, 4000);
  EXPECT_FALSE(file.proof->is_optimal());
  const std::string text = print_plan_file(file);
  EXPECT_THAT(text, HasSubstr(fmt::format("energy {} relief 4000 bounded\n", file.proof->energy)));
  EXPECT_EQ(print_plan_file(parse_plan_file(text, "plan.lock")), text);
}

TEST(PlanFiles, OpsAreNamedByTheirOrigins) {
  Graph graph = parse_graph(model());
  EXPECT_THAT(op_keys(graph), ::testing::ElementsAre("input:x", "input:w", "net.a/forward#0:exp", "net.b/forward#0:mul",
                                                     "update#0:sub", "net.b/forward#0:tanh"));
  graph.main().ops[5] = graph.main().ops[2];
  EXPECT_EQ(op_keys(graph)[5], "net.a/forward#0:exp+1");
}

TEST(PlanFiles, ThePlanThatIsFollowedIsThePlanThatIsMade) {
  TestMachine machine;
  PlanFile plan = plan_of(model(), machine);
  PlanFile read = parse_plan_file(print_plan_file(plan), "plan.lock");
  PlanFile again = plan_of(model(), machine, &read);
  EXPECT_TRUE(find_drift(read, again).empty());
  EXPECT_EQ(print_plan_file(again, false), print_plan_file(plan, false));
}

TEST(PlanFiles, AnEditedPinMovesItsOpAndTheRestStays) {
  TestMachine machine;
  PlanFile plan = plan_of(model(), machine);
  for (std::string to : {"cpu:0", "sim:0", "sim:1"})
    for (bool pin : {true, false}) {
      PlanFile given = edited(plan, "net.b/forward#0:tanh", to, pin);
      PlanFile made = plan_of(model(), machine, &given);
      EXPECT_EQ(device(made, "net.b/forward#0:tanh"), to);
      for (const PlanFile::Row& row : plan.rows)
        EXPECT_TRUE(row.key == "net.b/forward#0:tanh" || made.find(row.key)->devices == row.devices) << row.key;
      EXPECT_EQ(made.find("net.b/forward#0:tanh")->is_pin(), pin);
    }
}

TEST(PlanFiles, APinTakesAlongWhatItsOpStaysWith) {
  TestMachine machine;
  PlanFile given = edited(plan_of(model(), machine), "input:w", "sim:1", true);
  PlanFile made = plan_of(model(), machine, &given);
  EXPECT_EQ(device(made, "input:w"), "sim:1");
  EXPECT_EQ(device(made, "update#0:sub"), "sim:1");
}

TEST(PlanFiles, PinsAloneLeaveTheRestToCosts) {
  TestMachine machine;
  PlanFile given = edited(plan_of(model(), machine), "input:w", "sim:1", true);
  PlanFile pins = pins_of(given);
  EXPECT_EQ(pins.rows.size(), 1u);
  PlanFile made = plan_of(model(), machine, &pins);
  EXPECT_EQ(device(made, "net.b/forward#0:mul"), "sim:1");
}

std::string refusal(const std::string& text, const TestMachine& machine, const PlanFile& given) {
  try {
    plan_of(text, machine, &given);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

TEST(PlanFiles, PinsThatCannotHoldAreRefused) {
  TestMachine machine;
  PlanFile plan = plan_of(model(), machine);
  EXPECT_EQ(refusal(model(), machine, edited(plan, "net.b/forward#0:mul", "sim:7", true)),
            "plan.lock:25: net.b/forward#0:mul is pinned to sim:7, which this machine does not have: its devices are "
            "cpu:0, sim:0, sim:1; pin it to one of these, or plan for the plan's machine");
  EXPECT_THAT(refusal(model(), machine, edited(plan, "net.b/forward#0:mul", "sim:7", false)), HasSubstr("is on sim:7"));
  // The program's pin, and another one of the file for what stays together.
  EXPECT_EQ(
      refusal(model(" pin(sim:0 from \"net.cc\":11)"), machine, edited(plan, "net.a/forward#0:exp", "sim:1", true)),
      "plan.lock:24: net.a/forward#0:exp is pinned to sim:1, but net.cc:11 places it on sim:0; take one of the "
      "pins away");
  PlanFile two = edited(edited(plan, "input:w", "sim:1", true), "update#0:sub", "cpu:0", true);
  EXPECT_EQ(refusal(model(), machine, two),
            "plan.lock:26: update#0:sub is pinned to cpu:0, but plan.lock:23 places input:w, which it stays with, on "
            "sim:1; take one of the pins away");
  PlanFile split = edited(edited(plan, "input:w", "sim:1", false), "update#0:sub", "cpu:0", false);
  EXPECT_EQ(refusal(model(), machine, split),
            "plan.lock:26: update#0:sub is on cpu:0, but stays with input:w, which line 23 has on sim:1");
}

TEST(PlanFiles, AnotherModelsPlanIsRefused) {
  TestMachine machine;
  PlanFile plan = plan_of(model(), machine);
  std::string other =
      "graph v1\n\nfunction \"main\"(%0) {\n  %0 = input() {kind=\"argument\", name=\"other\"} : "
      "f32[4]\n  %1 = neg(%0) : f32[4]\n  return %1\n}\n";
  EXPECT_THAT(refusal(other, machine, plan), HasSubstr("the plan is another model's"));
  EXPECT_THAT(refusal(other, machine, edited(plan, "net.b/forward#0:mul", "sim:1", true)),
              HasSubstr("the model has no such op"));
}

TEST(Drift, APinInTheProgramIsNamedAsTheCause) {
  TestMachine machine;
  PlanFile before = plan_of(model(), machine);
  std::string to = device(before, "net.a/forward#0:exp") == "cpu:0" ? "sim:1" : "cpu:0";
  PlanFile after = plan_of(model(fmt::format(" pin({} from \"net.cc\":11)", to)), machine);
  std::vector<Drift> drifts = find_drift(before, after);
  const Drift* moved = find(drifts, DriftClass::device, "net.a/forward#0:exp");
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->cause, fmt::format("placed on {} at net.cc:11", to));
  EXPECT_EQ(moved->site.to_string(), "net.cc:10");
  for (const Drift& drift : drifts) EXPECT_NE(drift.cause, "") << drift.what;
  std::vector<Drift> back = find_drift(after, before);
  ASSERT_TRUE(find(back, DriftClass::device, "net.a/forward#0:exp"));
  EXPECT_EQ(find(back, DriftClass::device, "net.a/forward#0:exp")->cause,
            fmt::format("the pin to {} at net.cc:11 is gone", to));
}

TEST(Drift, AnotherSizeIsBytesPeakAndTimeAndSaysWhatItWas) {
  TestMachine machine;
  PlanFile before = plan_of(model(), machine), after = plan_of(model("", 8192), machine);
  std::vector<Drift> drifts = find_drift(before, after);
  std::vector<DriftClass> found = kinds(drifts);
  for (DriftClass kind : {DriftClass::bytes, DriftClass::peak, DriftClass::time, DriftClass::cosmetic})
    EXPECT_NE(std::find(found.begin(), found.end(), kind), found.end()) << name(kind);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
  bool named = false;
  for (const Drift& drift : drifts)
    named = named || (drift.kind == DriftClass::bytes && drift.what.starts_with("input:x") &&
                      drift.cause.find("it is f32[8192,1024], was f32[4096,1024]") != std::string::npos);
  EXPECT_TRUE(named);
}

TEST(Drift, AnotherCompilerAndMovedLinesAreCosmetic) {
  TestMachine machine;
  PlanFile before = plan_of(model(), machine);
  std::string text = model();
  for (size_t at; (at = text.find("net.cc\":10")) != std::string::npos;) text.replace(at, 10, "net.cc\":15");
  PlanFile after = plan_of(text, machine);
  after.header.compiler = "1.3.0";
  after.header.compiler_hash = "def";
  after.nanoseconds += after.nanoseconds / 100;  // within what counts as the same time
  std::vector<Drift> drifts = find_drift(before, after);
  EXPECT_GE(drifts.size(), 4u);
  for (const Drift& drift : drifts) EXPECT_EQ(drift.kind, DriftClass::cosmetic) << drift.what << drift.cause;
  EXPECT_EQ(find(drifts, DriftClass::cosmetic, "compiler")->cause, "1.2.3 to 1.3.0");
  EXPECT_EQ(find_drift(before, after, 0.001).front().kind, DriftClass::time);
}

TEST(Drift, TheMachinesLinkIsNamedAsTheCause) {
  TestMachine slow;
  PlanFile before = plan_of(model(), slow);
  TestMachine fast;
  for (Link& link : fast.machine.links) link.bytes_per_second *= 100;
  PlanFile after = plan_of(model(), fast);
  std::vector<Drift> drifts = find_drift(before, after);
  ASSERT_FALSE(drifts.empty());
  EXPECT_THAT(drifts.front().cause, HasSubstr("the link cpu:0 -> sim:0 is 1e+03 GB/s and 10 us, was 10 GB/s"));
}

TEST(Drift, NewAndLostOpsAreNamed) {
  TestMachine machine;
  PlanFile before = plan_of(model(), machine);
  std::string text = model("", 4096, "  %6 = exp(%5) : f32[4096,1024] #4\n");
  text.replace(text.find("return %5"), 9, "return %6");
  PlanFile after = plan_of(text, machine);
  std::vector<Drift> drifts = find_drift(before, after), back = find_drift(after, before);
  auto named = [](const std::vector<Drift>& all) {
    for (const Drift& drift : all)
      if (drift.what == "net.c/forward#0:exp" && drift.site.to_string() == "net.cc:40") return drift.cause;
    return std::string();
  };
  EXPECT_THAT(named(drifts), HasSubstr("a new op at net.cc:40"));
  EXPECT_EQ(named(back), "the model changed");
}

TEST(Drift, TheHostIsNoAcceleratorWhereverItsMachineNamesIt) {
  std::string longer = model("", 4096, "  %6 = exp(%5) : f32[4096,1024] #4\n");
  longer.replace(longer.find("return %5"), 9, "return %6");
  for (int first : {0, 1, 2}) {
    TestMachine machine;
    std::vector<DeviceSpec>& devices = machine.machine.devices;
    std::rotate(devices.begin(), devices.begin() + first, devices.end());
    std::vector<Drift> drifts = find_drift(plan_of(model(), machine), plan_of(longer, machine));
    const Drift* added = find(drifts, DriftClass::device, "net.c/forward#0:exp");
    ASSERT_TRUE(added) << devices.front().id.to_string();
    EXPECT_EQ(added->now.substr(0, 3), "sim");
  }
}

TEST(Drift, APinThatIsSaidOnAnotherLineNamesBothLines) {
  TestMachine machine;
  PlanFile before = plan_of(model(" pin(sim:0 from \"net.cc\":11)"), machine);
  PlanFile after = plan_of(model(" pin(sim:0 from \"net.cc\":12)"), machine);
  std::vector<Drift> drifts = find_drift(before, after);
  const Drift* moved = find(drifts, DriftClass::cosmetic, "net.a/forward#0:exp");
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->was, "pinned at net.cc:11");
  EXPECT_EQ(moved->now, "pinned at net.cc:12");
  PlanFile free = plan_of(model(), machine);
  ASSERT_EQ(device(free, "net.a/forward#0:exp"), "sim:0");
  drifts = find_drift(free, before);
  const Drift* pinned = find(drifts, DriftClass::cosmetic, "net.a/forward#0:exp");
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->cause, "the program's pin at net.cc:11");
}

TEST(Drift, LinksAndSymbolsThatCameOrWentAreNamed) {
  TestMachine machine;
  PlanFile before = plan_of(model(), machine), after = before;
  before.header.symbols = {{"B", 32}};
  before.header.machine_hash = "another";
  after.header.links.pop_back();
  const Link& gone = before.header.links.back();
  after.rows.pop_back();
  after.index();
  std::vector<Drift> drifts = find_drift(before, after), back = find_drift(after, before);
  const std::string ends = fmt::format("{} -> {}", gone.from.to_string(), gone.to.to_string());
  EXPECT_THAT(drifts.front().cause, HasSubstr("the link " + ends + " is gone"));
  EXPECT_THAT(drifts.front().cause, HasSubstr("B is gone, was 32"));
  EXPECT_THAT(find(back, DriftClass::cosmetic, "machine")->cause, HasSubstr("the link " + ends + " is new"));
}

TEST(Drift, LongTimesAreWrittenInTheirUnit) {
  TestMachine machine;
  PlanFile before = plan_of(model(), machine), after = before;
  before.nanoseconds = 9'999;
  after.nanoseconds = int64_t{1} << 50;
  std::vector<Drift> drifts = find_drift(before, after);
  ASSERT_EQ(drifts.size(), 1u);
  EXPECT_EQ(drifts[0].was, "9999 ns");
  EXPECT_EQ(drifts[0].now, "1.1259e+06 s");
  before.nanoseconds = 1'018'200;
  after.nanoseconds = 1'018'300;
  EXPECT_EQ(find_drift(before, after)[0].was, "1018.2 us");  // small differences are seen
}

TEST(PlanFiles, DamagedTextIsOneLineAndNeverACrash) {
  TestMachine machine;
  std::string text = print_plan_file(plan_of(model(), machine));
  std::mt19937 random(3);
  int refused = 0, total = 3000;
  for (int i = 0; i < total; ++i) {
    std::string damaged = text;
    switch (random() % 4) {
      case 0:
        damaged.resize(random() % damaged.size());
        break;
      case 1:
        damaged[random() % damaged.size()] = static_cast<char>(random());
        break;
      case 2:
        damaged.erase(random() % damaged.size(), random() % 40);
        break;
      default: {
        size_t from = random() % damaged.size();
        damaged.insert(random() % damaged.size(), damaged.substr(from, random() % 60));
      }
    }
    try {
      PlanFile read = parse_plan_file(damaged, "plan.lock");
      std::string again = print_plan_file(read);
      EXPECT_EQ(print_plan_file(parse_plan_file(again, "plan.lock")), again);
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      EXPECT_TRUE(std::string(error.what()).starts_with("plan.lock")) << error.what();
    }
  }
  EXPECT_GT(refused, total / 2);
  for (const char* wrong : {"", "{}", "placewright plan 2\n", "graph v1\n"})
    EXPECT_THROW(parse_plan_file(wrong, "plan.lock"), Error) << wrong;
  std::string twice = text;
  size_t at = twice.find("op \"input:w\"");
  twice.insert(at, twice.substr(at, twice.find('\n', at) + 1 - at));
  try {
    parse_plan_file(twice, "plan.lock");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "plan.lock:24: input:w stands in line 23 too");
  }
}

}  // namespace
}  // namespace placewright
