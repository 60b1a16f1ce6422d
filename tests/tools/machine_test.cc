// The subcommand machine, shipped machines, machine and profile files, and that plans depend on nothing else.
#include "placewright/ir/machine.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sched.h>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mutator.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/codegen/op_facts.h"
#include "placewright/ir/profile.h"
#include "placewright/ir/work.h"
#include "placewright/run_graph.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> shipped() {
  std::istringstream lines(run_tool({"machine", "--list"}).output);
  std::vector<std::string> names;
  for (std::string name; std::getline(lines, name);) names.push_back(name);
  return names;
}

std::string text_of(const std::string& name) { return run_tool({"machine", name}).output; }

// A product in f64 and a softmax in f32, so large that an accelerator pays.
constexpr const char* two_dtypes = R"(graph v1
function "main"(%0, %1, %2) {
  %0 = input() {kind="argument", name="a"} : f64[2048,2048]
  %1 = input() {kind="state", name="b"} : f64[2048,2048]
  %2 = input() {kind="state", name="x"} : f32[4096,4096]
  %3 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f64[2048,2048]
  %4 = softmax(%2) {dim=1} : f32[4096,4096]
  return %3, %4
}
)";

TEST(Machine, ShippedOnesAreWholeAndPrintThemselves) {
  std::vector<std::string> names = shipped();
  for (const char* gpu : {"h200", "h100", "a100", "rtx4090"}) EXPECT_THAT(names, ::testing::Contains(gpu));
  for (const std::string& name : names) {
    std::string text = text_of(name);
    Machine machine = parse_machine(text, name);
    EXPECT_NO_THROW(verify_machine(machine, name));
    EXPECT_EQ(print_machine(machine), text);
    EXPECT_EQ(machine.devices.size(), name.find("x8") == std::string::npos ? 2u : 9u) << name;
    for (const DeviceSpec& device : machine.devices)
      for (const OpClass& op_class : op_classes())
        for (DType dtype : {DType::f32, DType::f64, DType::i64})
          EXPECT_GT(device.rate(op_class.name, dtype), 0) << name << " " << op_class.name;
  }
}

// Dense peaks, as published; and JSON says what of.
TEST(Machine, ShippedGpusHaveRatesOfProductsWhoseFactorsAreRounded) {
  for (auto [name, tf32, bf16] : {std::tuple("a100", 156e12, 312e12),
                                  {"h100", 494.7e12, 989.4e12},
                                  {"h200", 494.7e12, 989.4e12},
                                  {"rtx4090", 82.6e12, 165.2e12}}) {
    const Machine machine = parse_machine(text_of(name), name);
    for (const char* op_class : {"contraction", "convolution"}) {
      EXPECT_EQ(machine.devices[1].rate(op_class, DType::f32, Precision::tf32), tf32) << name;
      EXPECT_EQ(machine.devices[1].rate(op_class, DType::f32, Precision::bf16), bf16) << name;
      EXPECT_FALSE(machine.devices[0].has_rate(op_class, DType::f32, Precision::tf32)) << name;
    }
  }
  const nlohmann::json document = nlohmann::json::parse(run_tool({"machine", "h200", "--json"}).output);
  int plain = 0, rounded = 0;
  for (const auto& rate : document.at("devices").at(1).at("rates"))
    if (rate.at("op_class") == "contraction" && rate.at("dtype") == "f32") {
      plain += !rate.contains("precision") && rate.at("per_second") == 67e12;
      rounded += rate.contains("precision") && rate["precision"] == "tf32" && rate.at("per_second") == 494.7e12;
    }
  EXPECT_EQ(plain, 1);
  EXPECT_EQ(rounded, 1);
}

// The figures stand in one place: the files are what the script writes.
TEST(Machine, ShippedFilesAreTheScripts) {
  if (std::system("python3 -c ''") != 0) GTEST_SKIP() << "there is no python3";
  TemporaryFolder folder;
  const std::string root = PLACEWRIGHT_TEST_DATA "/../..";
  ASSERT_EQ(std::system(("python3 " + root + "/scripts/make_machines.py " + folder.path()).c_str()), 0);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    ++files;
    EXPECT_EQ(read_text_file(entry.path()),
              read_text_file(root + "/tools/machines/" + entry.path().filename().string()));
  }
  EXPECT_EQ(files, shipped().size());
}

TEST(Machine, ThisOneIsTheDoctorsAndJsonSaysTheSame) {
  TemporaryFolder folder;
  ToolRun run = run_tool({"machine", "-o", folder / "this.machine"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_EQ(run.output, "");
  std::string text = read_text_file(folder / "this.machine");
  EXPECT_EQ(text, run_tool({"doctor", "--machine"}).output);
  Machine machine = parse_machine(text);
  nlohmann::json document = nlohmann::json::parse(run_tool({"machine", "--json"}).output);
  ASSERT_EQ(document.at("devices").size(), machine.devices.size());
  EXPECT_EQ(document["devices"][0]["target"], machine.devices[0].target);
  EXPECT_EQ(document["devices"][0]["rates"].size(), machine.devices[0].rates.size());
}

// Of the simulated accelerator all figures are known.
TEST(Machine, CalibrationFindsWhatIsThereAndIsKept) {
  TemporaryFolder folder;
  setenv("PLACEWRIGHT_CACHE", (folder / "cache").c_str(), 1);
  ToolRun run = run_tool({"machine", "--calibrate", "--devices", "cpu,sim:3", "-o", folder / "m.machine", "--profile",
                          folder / "m.profile"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  Machine machine = parse_machine(read_text_file(folder / "m.machine"));
  Profile profile = parse_profile(read_text_file(folder / "m.profile"));
  EXPECT_NO_THROW(verify_machine(machine));
  EXPECT_NO_THROW(verify_profile(profile, machine));
  DeviceId cpu{"cpu", 0}, sim{"sim", 2};
  EXPECT_NEAR(*profile.link_seconds(cpu, sim, 64), 6e-6, 0.1e-6);
  EXPECT_NEAR(*profile.link_seconds(sim, cpu, 16 << 20), 6e-6 + (16 << 20) / 25e9, 10e-6);
  EXPECT_NEAR(*profile.launch_seconds(sim), 4e-6, 0.1e-6);
  EXPECT_NEAR(machine.try_link(cpu, sim)->bytes_per_second, 25e9, 1e9);
  // Where 50 us do for a size a larger one, too; on a busy processor none behind one that took 10 ms.
  for (const Profile::OpCost& cost : profile.ops)
    if (cost.device != cpu) {
      EXPECT_EQ(cost.points.size(), cost.op_class == "movement" ? 5u : 6u) << cost.op_class;
    } else if (cost.points.back().seconds < 9.9e-3) {
      EXPECT_THAT(cost.points.size(), ::testing::AnyOf(5u, 6u)) << cost.op_class;
    }
  for (const OpClass& op_class : op_classes()) {
    std::optional<double> small = profile.op_seconds(cpu, op_class.name, DType::f32, 1e3);
    std::optional<double> large = profile.op_seconds(cpu, op_class.name, DType::f32, 1e8);
    ASSERT_TRUE(small && large) << op_class.name;
    EXPECT_LT(*small, *large) << op_class.name;
  }
  EXPECT_THAT(run_tool({"cache", "list"}).output, HasSubstr("calibration"));

  // Later plans on this machine are those of the files.
  ToolRun here = run_tool({"place", "--devices", "cpu,sim:3", "--symbol", "B=32", "--json", "linear.pw"});
  ToolRun there = run_tool({"place", "--machine", folder / "m.machine", "--profile", folder / "m.profile", "--symbol",
                            "B=32", "--json", "linear.pw"});
  ASSERT_EQ(here.exit_code + there.exit_code, 0) << here.errors << there.errors;
  EXPECT_EQ(nlohmann::json::parse(here.output)["ops"], nlohmann::json::parse(there.output)["ops"]);
  unsetenv("PLACEWRIGHT_CACHE");
}

TEST(Machine, KernelsOfAModelAreMeasured) {
  TemporaryFolder folder;
  setenv("PLACEWRIGHT_CACHE", (folder / "cache").c_str(), 1);
  ToolRun run = run_tool({"machine", "--calibrate", "--model", "linear.pw", "--symbol", "B=32", "-o",
                          folder / "m.machine", "--profile", folder / "m.profile"});
  unsetenv("PLACEWRIGHT_CACHE");
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  Profile profile = parse_profile(read_text_file(folder / "m.profile"));
  ASSERT_GE(profile.kernels.size(), 2u);  // the launch, and its ops by their shares
  for (const Profile::KernelCost& cost : profile.kernels) EXPECT_LT(cost.seconds, 0.1);
  ToolRun place = run_tool(
      {"place", "--machine", folder / "m.machine", "--profile", folder / "m.profile", "--symbol", "B=32", "linear.pw"});
  EXPECT_EQ(place.exit_code, 0) << place.errors;
}

// One measured kernel makes the accelerator dearer than the host by 2 or by 10 percent of a step. Alone: beside work of
// the host it might still be done earlier.
TEST(Place, MeasuredKernelsMoveOpsForMoreThanThreePercent) {
  Graph graph = parse_graph(R"(graph v1
function "main"(%0, %1) {
  %0 = input() {kind="argument", name="a"} : f64[2048,2048]
  %1 = input() {kind="state", name="b"} : f64[2048,2048]
  %2 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f64[2048,2048]
  return %2
}
)");
  Machine machine = parse_machine(text_of("h200"));
  DeviceId gpu{"cuda", 0};
  int32_t dot = 2;
  ASSERT_TRUE(graph.main().ops[dot].is("dot_general"));
  std::string key = OpFactsTable().key(graph, graph.main(), graph.main().ops[dot]);
  auto plan_with = [&](double seconds) {
    Profile profile;
    profile.machine = "h200";
    profile.kernels = {{gpu, key, seconds}};
    return plan_graph(graph, machine, {}, false, &profile);
  };
  auto device = [&](const PlacementPlan& plan) {
    for (const OpPlacement& op : plan.ops)
      if (op.what == "dot_general") return op.where.devices.at(0);
    return DeviceId{};
  };
  PlacementPlan thought = plan_graph(graph, machine, {});
  ASSERT_EQ(device(thought), gpu);
  double own = 0;
  for (const OpPlacement& op : thought.ops)
    if (op.what == "dot_general") own = op.seconds;
  double on_host = plan_with(1000).seconds;
  EXPECT_NE(device(plan_with(1000)), gpu);
  EXPECT_EQ(device(plan_with(own)), gpu);
  PlacementPlan kept = plan_with(own + 1.02 * on_host - thought.seconds);
  EXPECT_EQ(device(kept), gpu);
  EXPECT_THAT(kept.hints, ::testing::Contains(HasSubstr("less than 3 %, so that they stay")));
  EXPECT_NE(device(plan_with(own + 1.10 * on_host - thought.seconds)), gpu);
}

// Whatever the folder and however many processors there are: text and JSON are the same bytes.
TEST(Place, PlansAreTheSameEverywhere) {
  TemporaryFolder first, second;
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  for (const char* machine : {"h200", "h100x8", "rtx4090"}) {
    std::vector<std::string> outputs;
    for (const TemporaryFolder* folder : {&first, &second})
      for (const cpu_set_t* set : {&all, &one}) {
        std::ofstream(*folder / "model.pw") << two_dtypes;
        std::ofstream(*folder / "model.profile")
            << "profile \"m\"\nop cuda:0 \"contraction\" f64 { 1000:1e-06 1e10:1e-04 }\nlaunch cpu:0 1e-7\n";
        ASSERT_EQ(sched_setaffinity(0, sizeof *set, set), 0);
        ToolRun run = run_tool({"place", "--machine", machine, "--profile", "model.profile", "--json", "model.pw"}, "",
                               folder->path());
        ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
        ASSERT_EQ(run.exit_code, 0) << run.errors;
        outputs.push_back(run.output);
      }
    for (const std::string& output : outputs) EXPECT_EQ(output, outputs.front()) << machine;
    EXPECT_THAT(outputs.front(), HasSubstr("cuda:0")) << machine;
  }
}

// The device of the op of that name in a plan as JSON, and why it is not on the accelerator.
std::pair<std::string, std::string> device_and_cause(const nlohmann::json& plan, const std::string& what) {
  for (const auto& op : plan.at("ops"))
    if (op.at("what") == what) return {op.at("devices").at(0), op.dump()};
  return {"", ""};
}

// What a target has no kernels for, its machine file says by leaving it out: composites are judged by their parts.
TEST(Place, AMachineFileSaysWhatItsTargetRuns) {
  TemporaryFolder folder;
  std::ofstream(folder / "model.pw") << two_dtypes;
  auto place = [&](const std::string& without) {
    Machine machine = parse_machine(text_of("h200"));
    std::erase_if(machine.devices.back().rates,
                  [&](const Rate& rate) { return without == rate.op_class || without == name(rate.dtype); });
    std::ofstream(folder / "m.machine") << print_machine(machine);
    ToolRun run = run_tool({"place", "--machine", folder / "m.machine", "--json", folder / "model.pw"});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return nlohmann::json::parse(run.output);
  };
  nlohmann::json whole = place("");
  EXPECT_EQ(device_and_cause(whole, "dot_general").first, "cuda:0");
  nlohmann::json no_f64 = place("f64");
  EXPECT_EQ(device_and_cause(no_f64, "dot_general").first, "cpu:0");
  EXPECT_THAT(device_and_cause(no_f64, "dot_general").second, HasSubstr("no kernel for contraction of f64"));
  nlohmann::json no_sums = place("reduction");
  EXPECT_EQ(device_and_cause(no_sums, "dot_general").first, "cuda:0");
  EXPECT_EQ(device_and_cause(no_sums, "softmax").first, "cpu:0");
  EXPECT_THAT(device_and_cause(no_sums, "softmax").second, HasSubstr("no kernel for reduction of f32"));
}

// A product that pays on an accelerator if its factors may be rounded, and only then.
TEST(Place, ProductsArePricedByTheirPrecision) {
  TemporaryFolder folder;
  auto model = [&](const std::string& precision) {
    const std::string path = folder / (precision + ".pw");
    std::ofstream(path) << fmt::format(R"(graph v1
function "main"(%0, %1) {{
  %0 = input() {{kind="argument", name="a"}} : f32[2048,2048]
  %1 = input() {{kind="state", name="b"}} : f32[2048,2048]
  %2 = dot_general(%0, %1) {{lhs_contracting=[1], rhs_contracting=[0], precision="{}"}} : f32[2048,2048]
  return %2
}}
)",
                                       precision);
    return path;
  };
  std::string machine = text_of("h200");
  const std::string plain = "\"contraction\" f32 67000000000000";
  machine.replace(machine.find(plain), plain.size(), "\"contraction\" f32 9000000000000");
  std::ofstream(folder / "slow.machine") << machine;
  std::ofstream(folder / "host.machine") << machine.substr(0, machine.find("device cuda:0"));
  // Where the product runs, and what it takes there.
  auto place = [&](const std::string& on, const std::string& precision) {
    ToolRun run = run_tool({"place", "--machine", folder / on, "--json", model(precision)});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    const nlohmann::json plan = nlohmann::json::parse(run.output);
    for (const auto& op : plan.at("ops"))
      if (op.at("what") == "dot_general")
        return std::pair(op.at("devices").at(0).get<std::string>(), op.at("seconds").get<double>());
    return std::pair(std::string(), 0.0);
  };
  const double operations = 2 * 2048.0 * 2048 * 2048, traffic = 3 * 4 * 2048 * 2048 / 4.8e12, launch = 4e-6;
  EXPECT_EQ(place("slow.machine", "f32").first, "cpu:0");
  auto [device, seconds] = place("slow.machine", "tf32");
  EXPECT_EQ(device, "cuda:0");
  EXPECT_NEAR(seconds, launch + operations / 494.7e12, 1e-8);
  EXPECT_NEAR(place("slow.machine", "bf16").second, launch + std::max(operations / 989.4e12, traffic), 1e-8);
  // On the processor nothing is rounded, and nothing is faster.
  EXPECT_EQ(place("host.machine", "tf32"), place("host.machine", "f32"));
  // `why` reckons with the same prices.
  for (auto [precision, expected] : {std::pair("f32", "cpu:0"), {"tf32", "cuda:0"}}) {
    ToolRun why = run_tool({"why", model(precision), "dot_general", "--machine", folder / "slow.machine", "--json"});
    ASSERT_EQ(why.exit_code, 0) << why.errors;
    EXPECT_EQ(nlohmann::json::parse(why.output).at("device"), expected);
  }
}

TEST(Place, AProfileGoesBeforeTheMachinesRates) {
  TemporaryFolder folder;
  std::ofstream(folder / "model.pw") << two_dtypes;
  auto place = [&](const std::string& profile) {
    std::ofstream(folder / "m.profile") << profile;
    return run_tool({"place", "--machine", "h200", "--profile", folder / "m.profile", "--json", folder / "model.pw"});
  };
  auto device = [&](const std::string& profile) {
    ToolRun run = place(profile);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return device_and_cause(nlohmann::json::parse(run.output), "dot_general").first;
  };
  EXPECT_EQ(device("profile \"as thought\"\n"), "cuda:0");
  EXPECT_EQ(device("profile \"slow products\"\nop cuda:0 \"contraction\" f64 { 1e9:0.5 1e11:50 }\n"), "cpu:0");
  EXPECT_EQ(device("profile \"slow links\"\nlink cpu:0 -> cuda:0 { 1000:1 1e9:100 }\n"), "cpu:0");

  auto expect_refused = [&](const std::string& profile, const std::string& message) {
    ToolRun run = place(profile);
    EXPECT_EQ(run.exit_code, 1) << profile;
    EXPECT_EQ(run.output, "");
    EXPECT_THAT(run.errors, HasSubstr(message));
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
  };
  expect_refused("profile \"m\"\nlaunch sim:0 1e-6\n", "costs of sim:0, which the machine lacks");
  expect_refused("profile \"m\"\nlaunch cuda:0 -1e-6\n",
                 "m.profile:2:15: seconds is -1e-06, expected a finite number > 0");
  expect_refused("profile \"m\"\nlaunch cuda:0 inf\n", "seconds is inf");
  expect_refused("profile \"m\"\nlaunch cuda:0 nan\n", "seconds is nan");
  expect_refused("profile \"m\"\nlaunch cuda:0 1\nlaunch cuda:0 1\n",
                 "m.profile:3:8: the launch of cuda:0 stands here twice");
  expect_refused("profile \"m\"\nop cuda:0 \"contractions\" f64 { 1:1 }\n", "found op class \"contractions\"");
  expect_refused("profile \"m\"\nop cuda:0 \"contraction\" f64 { }\n", "expected a size");
  expect_refused("profile \"m\"\nop cuda:0 \"contraction\" f64 { 1:1\n", "m.profile:3:1:");
  expect_refused(two_dtypes, "expected 'profile'");
  expect_refused(std::string("\x7f"
                             "ELF\0\1",
                             6),
                 "m.profile:1:1:");
}

TEST(Place, BadMachinesAreOneLine) {
  TemporaryFolder folder;
  std::ofstream(folder / "model.pw") << two_dtypes;
  auto expect_refused = [&](const std::string& text, const std::string& message) {
    std::ofstream(folder / "m.machine") << text;
    ToolRun run =
        run_tool({"place", "--machine", folder / "m.machine", "-o", folder / "plan.json", folder / "model.pw"});
    EXPECT_EQ(run.exit_code, 1) << text;
    EXPECT_THAT(run.errors, HasSubstr(message));
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
    EXPECT_FALSE(std::filesystem::exists(folder / "plan.json")) << message;
  };
  const std::string good = text_of("h200");
  auto with = [&](const std::string& what, const std::string& instead) {
    std::string text = good;
    size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), instead);
  };
  expect_refused(with("latency 6e-06", "latency -1"), "latency is -1, expected a finite number >= 0");
  expect_refused(with("latency 6e-06", "latency inf"), "latency is inf");
  expect_refused(with("latency 6e-06", "latency nan"), "latency is nan");
  expect_refused(with("bandwidth 50000000000", "bandwidth 0"), "bandwidth is 0, expected a finite number > 0");
  expect_refused(with("f64 4100000000000", "f64 1e999"), "m.machine:");
  expect_refused(with("\"contraction\"", "\"contractoin\""),
                 "found op class \"contractoin\", expected one of contraction, convolution, elementwise");
  expect_refused(with("contraction\" i64", "contraction\" i32"), "the rate of contraction i32 stands here twice");
  expect_refused(with("device cuda:0", "device cpu:0"), "cpu:0 stands here twice");
  expect_refused(with("link cuda:0 -> cpu:0", "link cpu:0 -> cuda:0"), "link cpu:0 -> cuda:0 stands here twice");
  expect_refused(with("link cuda:0 -> cpu:0", "link cuda:0 -> cuda:0"), "link cuda:0 -> cuda:0 leads nowhere");
  expect_refused(with("link cuda:0 -> cpu:0", "link cuda:1 -> cpu:0"), "no device cuda:1");
  expect_refused(good.substr(0, good.rfind("link")), "there is no link cuda:0 -> cpu:0");
  expect_refused(with(" host memory", " memory"), "no device of host memory");
  expect_refused(with("memory 549755813888", "memory 0"), "cpu:0 has 0 bytes of memory");
  expect_refused(good.substr(0, good.size() / 2), "m.machine:");
  expect_refused(two_dtypes, "expected device, link or absent");
  ToolRun unknown = run_tool({"place", "--machine", "h300", folder / "model.pw"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.errors, HasSubstr("those are a100, a100x8"));
}

// Plans of damaged files are plans or one line; whatever parses is finite.
TEST(Place, FiveHundredMutatedMachinesAndProfilesNeverCrash) {
  const std::string machine_text = text_of("a100");
  const std::string profile_text =
      "profile \"m\"\nlaunch cuda:0 5e-06\nop cuda:0 \"contraction\" f64 { 1000:1e-06 1000000:1e-05 }\n"
      "op cpu:0 \"movement\" f32 { 1000:1e-07 }\nlink cpu:0 -> cuda:0 { 64:6e-06 16384:7e-06 }\n"
      "kernel cpu:0 \"0123456789abcdef\" 0.001\n";
  Graph graph = parse_graph(two_dtypes);
  Mutator mutate(11);
  int refused = 0;
  for (int round = 0; round < 500; ++round) {
    std::string bad_machine = round % 2 ? mutate(machine_text) : machine_text;
    std::string bad_profile = round % 2 ? profile_text : mutate(profile_text);
    try {
      Machine machine = parse_machine(bad_machine, "m.machine");
      Profile profile = parse_profile(bad_profile, "m.profile");
      PlacementPlan plan = plan_graph(graph, machine, {}, false, &profile);
      EXPECT_GE(plan.seconds, 0);
    } catch (const Error& error) {
      std::string message = error.what();
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
  EXPECT_LT(refused, 500);
}

}  // namespace
}  // namespace placewright::tools_test
