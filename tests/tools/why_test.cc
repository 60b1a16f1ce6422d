// The subcommand why: every smallest change that it names is applied, and the plan that `place` then makes is looked
// at; so is 99% of it.
#include "tools/why_answers.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Why = WhyAnswers;
using Json = nlohmann::json;

const std::vector<std::string> batch_3 = {"--symbol", "B=3"};

TEST_F(Why, NamesTheDeviceTheReasonAndWhatItWouldCostElsewhere) {
  ToolRun run =
      run_tool({"why", "two.pw", "first/forward#0:dot_general", "--machine", "two.machine", "--symbol", "B=1"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("first/forward#0:dot_general on cuda:0\n  f32[1,1024], made at net.cc:10"));
  EXPECT_THAT(run.output, HasSubstr("not on cpu:0\n  dearer by "));
  EXPECT_THAT(run.output, HasSubstr("its whole island there: a step takes "));
  size_t begin = 0;
  for (size_t end; (end = run.output.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 100u) << run.output.substr(begin, end - begin);
}

TEST_F(Why, TheNamedLinkSpeedFlipsTheOpAndALittleLessDoesNot) {
  for (Link& link : machine_.links) link.bytes_per_second = 1e8;
  const std::vector<std::string> batch{"--symbol", "B=64"};
  for (const char* key : {"first/forward#0:dot_general", "act/forward#0:tanh"}) {
    Json report = why("two.pw", key, write(machine_), batch);
    ASSERT_EQ(report.at("device"), "cpu:0") << key;
    expect_true("two.pw", batch, key, "cuda:0", change(report, "cuda:0", "link"),
                [](Machine& machine, double gigabytes) { scale_links(machine, gigabytes * 1e9); });
  }
}

TEST_F(Why, TheNamedSpeedOfTheDeviceFlipsTheOpAndALittleLessDoesNot) {
  for (const char* key : {"act/forward#0:tanh", "first/forward#0:dot_general", "second/forward#0:dot_general"}) {
    Json report = why("two.pw", key, "two.machine", batch_3);
    const std::string device = report.at("device") == "cpu:0" ? "cuda:0" : "cpu:0";
    expect_true("two.pw", batch_3, key, device, change(report, device, "speed"),
                [&](Machine& machine, double times) { scale_device(machine, device, times); });
  }
}

TEST_F(Why, TheNamedMemoryFlipsTheOpAndALittleLessDoesNot) {
  for (DeviceSpec& spec : machine_.devices)
    if (!spec.host_memory) spec.memory_bytes = 24'000'000;
  const std::vector<std::string> batch{"--symbol", "B=4096"};
  const std::string key = "first/forward#0:dot_general";
  Json report = why("two.pw", key, write(machine_), batch);
  ASSERT_EQ(report.at("device"), "cpu:0");
  EXPECT_EQ(report.at("elsewhere").at(0).at("kind"), "memory");
  expect_true("two.pw", batch, key, "cuda:0", change(report, "cuda:0", "memory"), [](Machine& machine, double bytes) {
    for (DeviceSpec& spec : machine.devices)
      if (!spec.host_memory) spec.memory_bytes = static_cast<int64_t>(bytes);
  });
}

TEST_F(Why, TheNamedPinDroppedFlipsTheOpAndItsPriceIsWhatTheStepLoses) {
  std::string free = read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/two.pw"), pinned = free;
  pinned.insert(pinned.find(" #1\n", pinned.find("dot_general")), " pin(cpu:0 from \"train.cc\":31)");
  write_file_atomically(folder_ / "free.pw", free);
  write_file_atomically(folder_ / "pinned.pw", pinned);
  const std::string key = "first/forward#0:dot_general";
  const std::vector<std::string> batch{"--symbol", "B=64"};
  Json report = why(folder_ / "pinned.pw", key, "two.machine", batch);
  EXPECT_EQ(report.at("device"), "cpu:0");
  for (const char* kind : {"link", "speed", "memory"}) {
    EXPECT_FALSE(change(report, "cuda:0", kind).at("flips").get<bool>());
    EXPECT_THAT(change(report, "cuda:0", kind).at("text").get<std::string>(), HasSubstr("train.cc:31"));
  }
  Json pin = change(report, "cuda:0", "pin");
  ASSERT_TRUE(pin.at("flips").get<bool>());
  EXPECT_EQ(pin.at("object"), "train.cc:31");
  EXPECT_EQ(device_in(plan(folder_ / "pinned.pw", "two.machine", batch), key), "cpu:0");
  EXPECT_EQ(device_in(plan(folder_ / "free.pw", "two.machine", batch), key), "cuda:0");
  const double with = report.at("step_seconds"),
               without = why(folder_ / "free.pw", key, "two.machine", batch).at("step_seconds");
  EXPECT_LT(without, with);
  // And the other way round: what pinning the op costs, `why` says of the free program.
  Json pinned_there = why(folder_ / "free.pw", key, "two.machine", batch).at("elsewhere").at(0).at("pinned_seconds");
  EXPECT_NEAR(pinned_there.get<double>(), with - without, 1e-9);
  EXPECT_NEAR(pin.at("step_seconds_more").get<double>(), without - with, 1e-9);
}

TEST_F(Why, ARuleIsAWordThatMayBeDroppedToo) {
  write_file_atomically(folder_ / "host.rules", "allow \"first/forward#0:dot_general\" on cpu:0\n");
  ToolRun run = run_tool({"why", "two.pw", "first/forward#0:dot_general", "--machine", "two.machine", "--symbol",
                          "B=64", "--rules", folder_ / "host.rules", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  Json report = Json::parse(run.output);
  EXPECT_EQ(report.at("device"), "cpu:0");
  Json pin = change(report, "cuda:0", "pin");
  EXPECT_TRUE(pin.at("flips").get<bool>());
  EXPECT_THAT(pin.at("object").get<std::string>(), HasSubstr("host.rules:1"));
}

TEST_F(Why, TheNamedCastFlipsTheOp) {
  const std::string before = R"(graph v1

origins {
  #1 = forward 0 in "first" from "net.cc":10
}

function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f64[256,1024]
  %1 = input() {kind="state", name="first.weight"} : f64[1024,1024]
)",
                    as_is = R"(  %2 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f64[256,1024] #1
  return %2
}
)",
                    cast = R"(  %2 = cast(%0) {dtype=f32} : f32[256,1024] #1
  %3 = cast(%1) {dtype=f32} : f32[1024,1024] #1
  %4 = dot_general(%2, %3) {lhs_contracting=[1], rhs_contracting=[0]} : f32[256,1024] #1
  %5 = cast(%4) {dtype=f64} : f64[256,1024] #1
  return %5
}
)";
  write_file_atomically(folder_ / "f64.pw", before + as_is);
  write_file_atomically(folder_ / "f32.pw", before + cast);
  const std::string key = "first/forward#0:dot_general";
  Json report = why(folder_ / "f64.pw", key, "two.machine");
  EXPECT_EQ(report.at("device"), "cpu:0");
  EXPECT_EQ(report.at("elsewhere").at(0).at("kind"), "no kernel");
  EXPECT_EQ(change(report, "cuda:0", "cast").at("object"), "f32");
  EXPECT_THAT(change(report, "cuda:0", "link").at("text").get<std::string>(),
              HasSubstr("no kernel for contraction of f64"));
  EXPECT_EQ(device_in(plan(folder_ / "f64.pw", "two.machine"), key), "cpu:0");
  EXPECT_EQ(device_in(plan(folder_ / "f32.pw", "two.machine"), key), "cuda:0");
}

// In a training step that ships, with all that passes make of it.
TEST_F(Why, AnswersAboutATrainingStepAreTrue) {
  const std::string model = std::string(PLACEWRIGHT_TEST_DATA) + "/../../examples/graphs/mlp.pw";
  machine_ = parse_machine(run_tool({"machine", "h200"}).output, "h200");
  for (Link& link : machine_.links) link.bytes_per_second = 3.5e9;  // a little too slow for this step
  const std::string start = folder_ / "start.machine";
  std::ofstream(start) << print_machine(machine_);
  int links = 0, speeds = 0;
  const std::string before = plan(model, start);
  for (size_t at = 0, number = 0; (at = before.find("\nop \"", at)) != std::string::npos; ++at) {
    const size_t begin = at + 5, end = before.find('"', begin);
    const std::string key = before.substr(begin, end - begin);
    if (key.starts_with("input:") || number++ % 26 != 1) continue;
    Json report = why(model, key, start);
    const std::string device = report.at("device") == "cpu:0" ? "cuda:0" : "cpu:0";
    if (Json link = change(report, device, "link"); link.at("flips").get<bool>()) {
      ++links;
      expect_true(model, {}, key, device, link,
                  [](Machine& machine, double gigabytes) { scale_links(machine, gigabytes * 1e9); });
    }
    if (Json speed = change(report, device, "speed"); speed.at("flips").get<bool>()) {
      ++speeds;
      expect_true(model, {}, key, device, speed,
                  [&](Machine& machine, double times) { scale_device(machine, device, times); });
    }
  }
  EXPECT_GT(links, 0);
  EXPECT_GT(speeds, 3);
}

TEST_F(Why, AmbiguousAndUnknownOpsAreOneLineThatListsWhatIsMeant) {
  auto refused = [](const std::string& op) {
    ToolRun run = run_tool({"why", "two.pw", op, "--machine", "two.machine", "--symbol", "B=3"});
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_EQ(run.output, "");
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
    return run.errors;
  };
  EXPECT_THAT(refused("dot_general"), HasSubstr("'dot_general' means 2 ops; name one of them: "
                                                "first/forward#0:dot_general, second/forward#0:dot_general"));
  EXPECT_THAT(refused("tank"), HasSubstr("no op is named 'tank'"));
  EXPECT_THAT(refused("tank"), HasSubstr("act/forward#0:tanh"));
  EXPECT_THAT(refused("net.cc:99"), HasSubstr("no op is named"));
  EXPECT_THAT(refused(""), HasSubstr("no op is named"));
}

TEST_F(Why, AnOpIsNamedByItsLineOrByWhatItIs) {
  for (const char* name : {"tanh", "net.cc:11", "act/forward#0:tanh"})
    EXPECT_EQ(why("two.pw", name, "two.machine", batch_3).at("op"), "act/forward#0:tanh");
}

TEST_F(Why, OnOneDeviceThereIsNoChoice) {
  ToolRun run = run_tool({"why", "two.pw", "tanh", "--symbol", "B=3"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("cpu:0 is the only device: there is no choice to make"));
}

TEST_F(Why, UnknownMachinesAndWrongOptionsAreRefused) {
  EXPECT_EQ(run_tool({"why", "two.pw", "tanh", "--machine", "h2000", "--symbol", "B=3"}).exit_code, 1);
  EXPECT_EQ(run_tool({"why", "two.pw"}).exit_code, 2);
  EXPECT_EQ(run_tool({"why", "two.pw", "tanh", "--machine", "h200", "--devices", "cpu"}).exit_code, 2);
  EXPECT_EQ(run_tool({"why", "two.pw", "tanh", "--format", "html"}).exit_code, 2);
  EXPECT_THAT(run_tool({"why", "two.pw", "tanh", "--machine", "h200"}).errors, HasSubstr("give a number for B"));
}

}  // namespace
}  // namespace placewright::tools_test
