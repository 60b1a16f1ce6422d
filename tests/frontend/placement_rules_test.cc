// What the user says of placement: scopes, and rules by name, from a program and from a file.
#include "placewright/placement_rules.h"

#include <filesystem>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "placewright/base/file.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/placement.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PlacementRules : public ::testing::Test {
 protected:
  PlacementRules() {
    configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [](std::string_view) {}});
    manual_seed(3);
  }
  ~PlacementRules() override { configure({}); }

  static nn::Sequential make_model() { return nn::Sequential(nn::Linear(4, 8), nn::ReLU(), nn::Linear(8, 2)); }

  // Of each op of the plan whose key has `part` in it.
  static std::vector<std::string> devices_of(const PlacementPlan& plan, std::string_view part) {
    std::vector<std::string> found;
    for (const OpPlacement& op : plan.ops)
      if (op.key.find(part) != std::string::npos) found.push_back(op.where.devices.front().to_string());
    return found;
  }
  static void expect_all_on(const PlacementPlan& plan, std::string_view part, const std::string& device) {
    std::vector<std::string> found = devices_of(plan, part);
    EXPECT_FALSE(found.empty()) << part;
    EXPECT_THAT(found, ::testing::Each(device)) << part;
  }

  // One training step, and the losses and the plan of it.
  struct Trained {
    HostTensor loss;
    PlacementPlan plan;
  };
  static Trained train(std::vector<PlacementRule> rules, int64_t max_bytes_per_step = -1) {
    manual_seed(3);
    nn::Sequential model = make_model();
    optim::SGD sgd(model.named_parameters(), {.lr = 0.1});
    TrainingStep step = compile_training_step(
        model, [](const Operand& output, const Operand& target) { return mse_loss(output, target); }, sgd,
        {.name = "step", .rules = std::move(rules), .max_bytes_per_step = max_bytes_per_step});
    Tensor x = ones({3, 4}), y = ones({3, 2});
    step(x, y);
    Tensor loss = step(x, y);
    return {loss.value(), step.last().placement()};
  }
};

TEST_F(PlacementRules, AModuleIsPinnedByItsNameWithItsParametersAndGradients) {
  HostTensor expected = train({}).loss;
  int line = __LINE__ + 1;
  Trained pinned = train({rules::pin("0", "sim:0"), rules::pin("2", "sim:1")});
  EXPECT_TRUE(pinned.loss.same_bytes(expected));
  expect_all_on(pinned.plan, "input:0.", "sim:0");
  expect_all_on(pinned.plan, "input:2.", "sim:1");
  expect_all_on(pinned.plan, "0/forward#", "sim:0");
  expect_all_on(pinned.plan, "2/backward#", "sim:1");
  for (const OpPlacement& op : pinned.plan.ops)
    EXPECT_TRUE(op.key != "input:0.weight" || op.pinned_at.line == line) << op.pinned_at.line;
}

TEST_F(PlacementRules, PatternsMeanStatesModulesAndOps) {
  Graph graph;
  add_function(graph, "main");
  auto op = [&](const char* name, const char* path, Role role = Role::forward) {
    Op made;
    made.entry = &find_op(name);
    made.origin = graph.origins.intern({{}, path, role, 3, {}});
    return made;
  };
  auto matches = [&](const char* pattern, const Op& of) {
    return means({PlacementRule::Kind::pin, pattern, {}, {}}, graph, of);
  };
  Op deep = op("exp", "encoder.layers.11.fc");
  for (const char* pattern : {"encoder", "encoder.layers", "encoder.layers.11", "encoder.*.fc", "*", "enc?der", "*.fc",
                              "encoder.layers.11.fc/forward#3", "encoder.layers.11.fc/*", "*:exp", "*#3:exp"})
    EXPECT_TRUE(matches(pattern, deep)) << pattern;
  for (const char* pattern :
       {"enc", "encoder.layers.1", "fc", "layers", "*:log", "encoder.layers.11.fc/backward#3", "?"})
    EXPECT_FALSE(matches(pattern, deep)) << pattern;
  EXPECT_FALSE(matches("*", op("constant", "encoder")));
  EXPECT_FALSE(matches("*", op("exp", "")));
  EXPECT_TRUE(matches("*:exp", op("exp", "")));
  Op joined = op("exp", "a");
  joined.origin = graph.origins.merge(std::vector{op("exp", "a").origin, op("exp", "b.c").origin});
  EXPECT_TRUE(matches("b", joined));
}

TEST_F(PlacementRules, AllowedDevicesLeaveTheChoiceAmongThem) {
  Trained free = train({});
  int line = __LINE__ + 1;
  Trained allowed = train({rules::allow("2", {"sim:0", "sim:1"})});
  EXPECT_TRUE(allowed.loss.same_bytes(free.loss));
  for (const std::string& device : devices_of(allowed.plan, "2/forward#")) EXPECT_THAT(device, HasSubstr("sim"));
  bool is_told = false;
  for (const OpPlacement& op : allowed.plan.ops)
    for (const RejectedDevice& rejected : op.rejected)
      if (op.key.find("2/forward#") == 0 && rejected.device == parse_device("cpu")) {
        is_told = true;
        EXPECT_EQ(rejected.kind, RejectionKind::not_allowed);
        EXPECT_EQ(rejected.site.line, line);
        EXPECT_THAT(rejected.cause, HasSubstr("rule allow \"2\" at "));
      }
  EXPECT_TRUE(is_told);
}

TEST_F(PlacementRules, AllowedDevicesHoldForArguments) {
  auto plan_with = [](std::vector<PlacementRule> rules) {
    CompiledFunction f = compile([](const Tensor& x) { return exp(x) + 1; }, {.rules = std::move(rules)});
    Tensor y = f(tensor<float>({0, 1}, {2}));
    EXPECT_NEAR(y.value().number(1), 3.718282, 1e-5);
    return f.last().placement();
  };
  const std::string key = [&] {
    for (const OpPlacement& op : plan_with({}).ops)
      if (op.what == "input x" || op.key.rfind("input:", 0) == 0) return op.key;
    return std::string();
  }();
  ASSERT_FALSE(key.empty());
  expect_all_on(plan_with({}), key, "cpu:0");
  expect_all_on(plan_with({rules::allow(key, {"sim:0"})}), key, "sim:0");
  expect_all_on(plan_with({rules::allow(key, {"cpu", "sim:1"})}), key, "cpu:0");
  PlacementPlan one_of_two = plan_with({rules::allow(key, {"sim:0", "sim:1"})});
  EXPECT_THAT(devices_of(one_of_two, key), ::testing::Each(HasSubstr("sim")));
  EXPECT_THAT(error_of([&] { plan_with({rules::allow(key, {"sim:0"}), rules::allow(key, {"sim:1"})}); }),
              HasSubstr("no device runs"));
}

TEST_F(PlacementRules, WhatStaysTogetherFollowsOnePin) {
  Trained together = train({rules::together("*"), rules::pin("2.bias", "sim:1")});
  expect_all_on(together.plan, "input:0.weight", "sim:1");
  expect_all_on(together.plan, "0/forward#", "sim:1");
  EXPECT_TRUE(together.loss.same_bytes(train({}).loss));
}

TEST_F(PlacementRules, ContradictionsNameBothLines) {
  using namespace rules;
  std::string file = "placement_rules_test.cc:";
  int line = __LINE__;
  EXPECT_THAT(error_of([] { train({pin("0", "sim:0"), pin("0.weight", "cpu")}); }),
              AllOf(HasSubstr(file + std::to_string(line + 1)), HasSubstr("cpu:0, but it is placed on sim:0 at")));
  EXPECT_THAT(
      error_of([] { train({pin("0", "sim:0"), allow("0", {"cpu", "sim:1"})}); }),
      AllOf(HasSubstr("is placed on sim:0"), HasSubstr("rule allow \"0\""), HasSubstr("leaves it cpu:0, sim:1")));
  EXPECT_THAT(
      error_of([] { train({together("*"), allow("0", {"sim:0"}), allow("2", {"sim:1"})}); }),
      AllOf(HasSubstr("must stay together"), HasSubstr("leaves it sim:0 only"), HasSubstr("leaves it sim:1 only")));
  EXPECT_THAT(error_of([] { train({allow("0", {"sim:0"}), allow("0", {"sim:1"})}); }), HasSubstr("no device runs"));
  const std::string here = file + std::to_string(__LINE__ + 1);
  const std::string apart = error_of([] { train({pin("0.weight", "sim:0"), together("*"), pin("2.weight", "cpu")}); });
  EXPECT_THAT(
      apart, AllOf(HasSubstr("0.weight"), HasSubstr("2.weight"), HasSubstr("is placed on"), HasSubstr("must stay with"),
                   HasSubstr("rule together \"*\" at"), HasSubstr("take one of the pins away")));
  size_t lines = 0;  // of both pins and of the rule
  for (size_t at = 0; (at = apart.find(here, at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, 3u) << apart;
  EXPECT_THAT(error_of([] { train({pin("layer", "sim:0")}); }), HasSubstr("rule pin \"layer\" means no op"));
  EXPECT_THAT(error_of([] { train({pin("0", "sim:7")}); }), HasSubstr("sim:7, which is not here"));
  EXPECT_THAT(error_of([] { train({allow("0", {"sim:7"})}); }), HasSubstr("sim:7, which is not here"));
  EXPECT_THAT(error_of([] { train({allow("0", {})}); }), HasSubstr("names 0 devices, expected one or more"));
  EXPECT_THAT(error_of([] { train({pin("", "sim:0")}); }), HasSubstr("has no pattern"));
}

TEST_F(PlacementRules, BytesOfAStepAreLimited) {
  EXPECT_THAT(error_of([] { train({rules::pin("0", "sim:0")}, 0); }), HasSubstr("expected at most 0"));
  int64_t bytes = train({rules::pin("0", "sim:0")}).plan.bytes_per_step;
  EXPECT_GT(bytes, 0);
  EXPECT_NO_THROW(train({rules::pin("0", "sim:0")}, bytes));
  EXPECT_THAT(error_of([=] { train({rules::pin("0", "sim:0")}, bytes - 1); }), HasSubstr("expected at most"));
}

TEST_F(PlacementRules, FilesAreReadAndWrittenInGraphs) {
  const std::string path = (std::filesystem::temp_directory_path() / ("rules." + std::to_string(getpid()))).string();
  write_file_atomically(path,
                        "// ours\npin \"0\" on sim:0\nallow \"2.*\" on cpu:0, sim:1 // one of two\n\ntogether \"0\"\n");
  std::vector<PlacementRule> read = rules::read(path);
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[1].site.line, 3);
  EXPECT_EQ(read[2].site.to_string(), path + ":5");
  EXPECT_EQ(read[1].devices, (std::vector<DeviceId>{{"cpu", 0}, {"sim", 1}}));
  Graph graph;
  add_function(graph, "main");
  graph.rules = read;
  EXPECT_EQ(parse_graph(print_graph(graph)).rules, read);
  for (const char* wrong :
       {"pin \"a\"", "pin \"a\" on", "pin a on sim:0", "move \"a\" on sim:0", "allow \"a\" on sim:0,",
        "pin \"\" on sim:0", "pin \"a\" on sim:0, sim:1", "together \"a\" on sim:0"}) {
    write_file_atomically(path, wrong);
    EXPECT_THAT(error_of([&] { rules::read(path); }), HasSubstr(path + ":1:")) << wrong;
  }
  write_file_atomically(path, "pin \"a\" on sim:0, sim:1");
  EXPECT_THAT(error_of([&] { rules::read(path); }), HasSubstr("the one device of a pin: allow leaves several"));
  std::filesystem::remove(path);
}

TEST_F(PlacementRules, AScopePinsWhatIsMadeInIt) {
  Tensor x = tensor<float>({1, 2}, {2});
  int line = __LINE__ + 1;
  Tensor y = with_device("sim:1", [&] { return exp(x) + 1; });
  EXPECT_EQ(y.device(), parse_device("sim:1"));
  EXPECT_NEAR(y.value().number(1), 8.389056, 1e-5);
  CompiledFunction f = compile([&](const Tensor& a) {
    Tensor outer = with_device("sim:0", [&] {
      Tensor inner = with_device("sim:1", [&] { return exp(a); });
      return tanh(inner);
    });
    return with_device("sim:0", [&] { return log(outer.to("cpu") + 2); });
  });
  f(x);
  expect_all_on(f.last().placement(), ":exp", "sim:1");
  expect_all_on(f.last().placement(), ":tanh", "sim:0");
  expect_all_on(f.last().placement(), ":log", "sim:0");
  nn::Linear layer = with_device("sim:0", [] { return nn::Linear(2, 2); });
  CompiledFunction forward = compile(layer);
  forward(ones({1, 2}));
  expect_all_on(forward.last().placement(), "input:weight", "sim:0");
  EXPECT_THAT(error_of([] { with_device("sim:9", [] { return 0; }); }), HasSubstr("sim:9"));
  EXPECT_EQ((exp(x)).device(), parse_device("cpu"));
  (void)line;
}

TEST_F(PlacementRules, ACompiledFunctionCalledInAScopeIsCompiledForIt) {
  CompiledFunction f = compile([](const Tensor& a) { return exp(a); });
  Tensor x = tensor<float>({1, 2}, {2});
  f(x);
  expect_all_on(f.last().placement(), ":exp", "cpu:0");
  with_device("sim:0", [&] { return f(x); });
  expect_all_on(f.last().placement(), ":exp", "sim:0");
  f(x);
  expect_all_on(f.last().placement(), ":exp", "cpu:0");
}

}  // namespace
}  // namespace placewright
