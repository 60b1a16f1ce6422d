// Plan files on the command line: place -o, --plan, --check, --accept, --export-problem, --import-plan, and diff.
#include <filesystem>
#include <fstream>
#include <random>
#include <sched.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A far device that pays for `linear.pw` from this link speed on.
std::string machine_text(const std::string& bytes_per_second = "50000000000") {
  return R"(device cpu:0 "near" target "near" host memory 8589934592 bandwidth 30000000000 threads 4 launch 1e-07 {
  rate "contraction" f32 10000000000
  rate "elementwise" f32 10000000000
  rate "movement" f32 10000000000
}
device sim:0 "far" target "far" memory 8589934592 bandwidth 3000000000000 threads 1 launch 1e-08 {
  rate "contraction" f32 100000000000000
  rate "elementwise" f32 10000000000000
  rate "movement" f32 10000000000000
}
link cpu:0 -> sim:0 latency 1e-08 bandwidth )" +
         bytes_per_second + "\nlink sim:0 -> cpu:0 latency 1e-08 bandwidth " + bytes_per_second + "\n";
}

class Plan : public ::testing::Test {
 protected:
  Plan() {
    std::ofstream(machine_) << machine_text();
    ToolRun run = place({"-o", lock_});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    EXPECT_EQ(run.output, "");
    text_ = read_text_file(lock_);
  }

  ToolRun place(std::vector<std::string> more, const std::string& size = "B=32", const std::string& machine = "") {
    std::vector<std::string> arguments{"place", "linear.pw", "--symbol",
                                       size,    "--machine", machine.empty() ? machine_ : machine};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_tool(arguments);
  }

  std::string edit(const std::string& from, const std::string& to) {
    std::string text = text_;
    EXPECT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    std::ofstream(lock_) << text;
    return text;
  }

  void expect_one_line(const ToolRun& run, const std::string& message) {
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_EQ(run.output, "");
    EXPECT_THAT(run.errors, HasSubstr(message));
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
  }

  TemporaryFolder folder_;
  std::string machine_ = folder_ / "m.machine", lock_ = folder_ / "plan.lock", text_;
};

TEST_F(Plan, IsTheSameEachTimeAndHolds) {
  ASSERT_EQ(place({"-o", folder_ / "again.lock"}).exit_code, 0);
  EXPECT_EQ(read_text_file(folder_ / "again.lock"), text_);
  EXPECT_EQ(place({"--format", "lock"}).output, text_);
  EXPECT_THAT(text_, HasSubstr("op \"fc/forward#0:dot_general\" \"f32[32,2]\" on sim:0 cheapest time "));
  EXPECT_THAT(text_, HasSubstr("at \"train.cc\":12\n"));
  ToolRun check = place({"--check", lock_});
  EXPECT_EQ(check.exit_code, 0) << check.errors;
  EXPECT_EQ(check.output, "linear.pw against " + lock_ + ": no drift\n");
  ToolRun diff = run_tool({"diff", lock_, folder_ / "again.lock"});
  EXPECT_EQ(diff.exit_code, 0);
  EXPECT_EQ(diff.output, (folder_ / "again.lock") + " against " + lock_ + ": no drift\n");
}

// On one processor and on all of them, in two folders.
TEST_F(Plan, ForAMachineThatIsNotHereIsTheSameEverywhere) {
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  for (const char* graph : {"lenet.pw", "mixture.pw", "transformer.pw"})
    for (const char* ending : {"lock", "json", "html", "txt"}) {
      std::vector<std::string> files;
      for (const cpu_set_t* cpus : {&one, &all}) {
        TemporaryFolder folder;
        std::filesystem::copy(std::string(PLACEWRIGHT_TEST_DATA) + "/../../examples/graphs/" + graph, folder / graph);
        sched_setaffinity(0, sizeof *cpus, cpus);
        ToolRun run =
            run_tool({"place", graph, "--machine", "h200", "-o", std::string("plan.") + ending}, "", folder.path());
        sched_setaffinity(0, sizeof all, &all);
        ASSERT_EQ(run.exit_code, 0) << run.errors;
        files.push_back(read_text_file(folder / (std::string("plan.") + ending)));
      }
      EXPECT_EQ(files[0], files[1]) << graph << " as " << ending;
    }
}

TEST_F(Plan, AnEditedPinIsFollowedAndSaid) {
  edit("on sim:0 cheapest time 4 ns at \"train.cc\":14", "on cpu:0 pin time 4 ns at \"train.cc\":14");
  ToolRun run = place({"--plan", lock_, "-o", folder_ / "pinned.lock"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.errors, HasSubstr("bytes    all copies of a step: 1280 bytes -> "));
  std::string pinned = read_text_file(folder_ / "pinned.lock");
  EXPECT_THAT(pinned, HasSubstr("op \"fc/forward#1:add\" \"f32[32,2]\" on cpu:0 pin time "));
  EXPECT_THAT(pinned, HasSubstr("op \"fc/forward#0:dot_general\" \"f32[32,2]\" on sim:0 cheapest"));
  EXPECT_THAT(pinned, Not(HasSubstr("proof")));  // a plan that was followed is not proven best
  ToolRun report = place({"--plan", lock_});
  EXPECT_THAT(report.output, HasSubstr("linear.pw against " + lock_ + ": drift: "));
  ToolRun diff = run_tool({"diff", "--fail-on", "bytes", folder_ / "pinned.lock", lock_});
  EXPECT_EQ(diff.exit_code, 4);
}

TEST_F(Plan, DriftHasItsClassesAndItsOwnExitCode) {
  ToolRun run = place({"--check", lock_}, "B=64");
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_EQ(run.errors, "");
  EXPECT_THAT(run.output, HasSubstr("bytes    all copies of a step: 1280 bytes -> 2560 bytes: B is 64, was 32\n"));
  EXPECT_EQ(place({"--check", lock_, "--fail-on", "device"}, "B=64").exit_code, 0);
  EXPECT_EQ(place({"--check", lock_, "--fail-on", "device,peak"}, "B=64").exit_code, 4);
  EXPECT_EQ(place({"--check", lock_, "--fail-on", "none"}, "B=64").exit_code, 0);
  EXPECT_EQ(place({"--check", lock_, "--fail-on", "speed"}, "B=64").exit_code, 2);
  EXPECT_EQ(read_text_file(lock_), text_);

  // A link too slow for the far device: the ops come home, and the link is named.
  std::ofstream(folder_ / "slow.machine") << machine_text("1000000");
  ToolRun moved = place({"--check", lock_, "--format", "json"}, "B=32", folder_ / "slow.machine");
  EXPECT_EQ(moved.exit_code, 4);
  nlohmann::json drift = nlohmann::json::parse(moved.output);
  EXPECT_TRUE(drift["fails"].get<bool>());
  ASSERT_GT(drift["counts"]["device"].get<int>(), 0);
  bool named = false;
  for (const auto& line : drift["drift"])
    if (line["what"] == "fc/forward#0:dot_general") {
      named = true;
      EXPECT_EQ(line["class"], "device");
      EXPECT_EQ(line["site"], "train.cc:12");
      EXPECT_EQ(line["was"], "sim:0");
      EXPECT_EQ(line["now"], "cpu:0");
      EXPECT_THAT(line["cause"].get<std::string>(), HasSubstr("the link cpu:0 -> sim:0 is 0.001 GB/s"));
    }
  EXPECT_TRUE(named);
  ToolRun github = place({"--check", lock_, "--format", "github"}, "B=32", folder_ / "slow.machine");
  EXPECT_THAT(github.output,
              HasSubstr("::error file=train.cc,line=12,title=placement device::fc/forward#0:dot_general"));
  ToolRun markdown = place({"--check", lock_, "--format", "markdown"}, "B=32", folder_ / "slow.machine");
  EXPECT_THAT(markdown.output, HasSubstr("| device | fc/forward#0:dot_general | train.cc:12 | sim:0 | cpu:0 |"));
}

TEST_F(Plan, AcceptReplacesTheFile) {
  ToolRun run = place({"--check", lock_, "--accept"}, "B=64");
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_THAT(run.output, HasSubstr("drift"));
  EXPECT_NE(read_text_file(lock_), text_);
  EXPECT_EQ(place({"--check", lock_, "--fail-on", "device,bytes,peak,time,cosmetic"}, "B=64").exit_code, 0);
  EXPECT_EQ(place({"--accept"}).exit_code, 2);
}

TEST_F(Plan, LimitsFailWhateverTheFileSays) {
  ToolRun run = place({"--check", lock_, "--max-bytes-per-step", "1279", "--accept"});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_THAT(run.output, HasSubstr("limit    all copies of a step (train.cc:12): at most 1279 bytes -> 1280 bytes: "
                                    "the largest is input:x: 1280 bytes from cpu:0 to sim:0"));
  EXPECT_EQ(place({"--check", lock_, "--max-bytes-per-step", "1280"}).exit_code, 0);
  EXPECT_EQ(place({"--check", lock_, "--max-memory", "1623"}).exit_code, 4);
  EXPECT_EQ(place({"--check", lock_, "--max-memory", "1624"}).exit_code, 0);
  EXPECT_EQ(read_text_file(lock_), text_);
}

TEST_F(Plan, LimitsHoldWithoutAFileToo) {
  const std::string out = folder_ / "out.lock";
  ToolRun run = place({"--max-bytes-per-step", "1279", "-o", out});
  EXPECT_EQ(run.exit_code, 4);
  EXPECT_EQ(run.output, "");
  EXPECT_THAT(run.errors, HasSubstr("limit    all copies of a step (train.cc:12): at most 1279 bytes -> 1280 bytes"));
  EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1);
  EXPECT_FALSE(try_read_file(out).has_value());
  EXPECT_EQ(place({"--plan", lock_, "--max-memory", "1623"}).exit_code, 4);
  EXPECT_EQ(place({"--plan", lock_, "--max-memory", "1624"}).exit_code, 0);
  EXPECT_EQ(place({"--max-bytes-per-step", "1280", "-o", out}).exit_code, 0);
  EXPECT_EQ(read_text_file(out), text_);
}

TEST_F(Plan, WhatWouldBeIgnoredIsRefused) {
  EXPECT_EQ(place({"--fail-on", "device"}).exit_code, 2);
  for (const char* tolerance : {"nan", "-nan", "-1", "inf", "x"}) {
    ToolRun run = place({"--check", lock_, "--tolerance", tolerance});
    EXPECT_EQ(run.exit_code, 2) << tolerance;
    EXPECT_THAT(run.errors, HasSubstr(tolerance));
  }
}

TEST_F(Plan, AnotherCompilerThatChangesNothingThatMattersHolds) {
  size_t at = text_.find("compiler \"");
  std::string line = text_.substr(at, text_.find('\n', at) - at);
  edit(line, "compiler \"0.0.9\" hash \"00000000000000000000000000000000\"");
  ToolRun run = place({"--check", lock_});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("drift: 1 cosmetic\ncosmetic compiler: 0000"));
  EXPECT_THAT(run.output, HasSubstr("0.0.9 to "));
  EXPECT_EQ(place({"--check", lock_, "--fail-on", "cosmetic"}).exit_code, 4);
}

TEST_F(Plan, WhatCannotHoldIsOneLineAndWritesNothing) {
  const std::string out = folder_ / "out.lock";
  auto refused = [&](const std::string& option, const std::string& message) {
    ToolRun run = option == "--plan" ? place({option, lock_, "-o", out}) : place({option, lock_});
    expect_one_line(run, message);
    EXPECT_FALSE(try_read_file(out).has_value());
  };
  edit("\"f32[32,2]\" on sim:0 cheapest", "\"f32[32,2]\" on sim:9 pin");
  refused("--plan", "is pinned to sim:9, which this machine does not have");
  refused("--check", "is pinned to sim:9, which this machine does not have");
  edit("\"f32[32,2]\" on sim:0 cheapest", "\"f32[32,2]\" on sim:9 cheapest");
  refused("--plan", "is on sim:9, which this machine does not have");
  refused("--check", "the plan is another machine's");
  edit("op \"fc/forward#0:dot_general\"", "op \"fc/forward#9:dot_general\"");
  EXPECT_EQ(place({"--check", lock_}).exit_code, 4);
  edit("end\n", "");
  refused("--plan", "a plan ends with 'end'");
  std::ofstream(lock_) << machine_text();
  refused("--plan", "plan.lock:1:1: found 'device', expected 'placewright plan 1' and a plan");
  refused("--check", "plan.lock:1:1");
  expect_one_line(place({"--plan", folder_ / "none.lock"}), "No such file");
  // Another model's.
  std::ofstream(folder_ / "other.pw") << "graph v1\n\nfunction \"main\"(%0) {\n  %0 = input() {kind=\"argument\", "
                                         "name=\"y\"} : f32[4]\n  %1 = neg(%0) : f32[4]\n  return %1\n}\n";
  ASSERT_EQ(run_tool({"place", folder_ / "other.pw", "--machine", machine_, "-o", lock_}).exit_code, 0);
  const std::string other = read_text_file(lock_);
  refused("--plan", "the plan is another model's (other.pw)");
  refused("--check", "the plan is another model's (other.pw)");
  expect_one_line(place({"--check", lock_, "--accept"}), "the plan is another model's (other.pw)");
  EXPECT_EQ(read_text_file(lock_), other);
}

TEST_F(Plan, DamagedFilesNeverCrash) {
  std::mt19937 random(5);
  for (int i = 0; i < 60; ++i) {  // each is a process; tests/passes has thousands
    std::string damaged = text_;
    if (i % 3 == 0)
      damaged.resize(random() % damaged.size());
    else if (i % 3 == 1)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    else
      damaged.erase(random() % damaged.size(), random() % 50);
    std::ofstream(lock_) << damaged;
    for (const char* option : {"--plan", "--check"}) {
      ToolRun run = place({option, lock_});
      EXPECT_TRUE(run.exit_code == 0 || run.exit_code == 1 || run.exit_code == 4) << run.exit_code << run.errors;
      if (run.exit_code == 1) expect_one_line(run, "plan.lock");
    }
  }
}

TEST_F(Plan, AProblemIsExportedAndOthersAnswersAreScored) {
  const std::string file = folder_ / "problem.json", answer = folder_ / "answer.json";
  ASSERT_EQ(place({"--export-problem", file}).exit_code, 0);
  nlohmann::json problem = nlohmann::json::parse(read_text_file(file));
  EXPECT_EQ(problem["devices"], nlohmann::json({"cpu:0", "sim:0"}));
  EXPECT_EQ(problem["energy"], problem["bound"]);
  auto score = [&](const nlohmann::json& placement, const nlohmann::json& hash) {
    std::ofstream(answer) << nlohmann::json{
        {"format", "placewright placement 1"}, {"problem", hash}, {"placement", placement}};
    return place({"--import-plan", answer, "--format", "json"});
  };
  ToolRun ours = score(problem["placement"], problem["hash"]);
  ASSERT_EQ(ours.exit_code, 0) << ours.errors;
  EXPECT_EQ(nlohmann::json::parse(ours.output)["energy"], problem["energy"]);
  EXPECT_EQ(nlohmann::json::parse(ours.output)["optimal"], true);
  // All at home costs what the groups cost there: nothing is copied.
  nlohmann::json home = nlohmann::json::array();
  int64_t sum = 0;
  for (const auto& group : problem["groups"]) {
    home.push_back("cpu:0");
    sum += group["costs"][0].get<int64_t>();
  }
  ToolRun theirs = score(home, problem["hash"]);
  EXPECT_EQ(nlohmann::json::parse(theirs.output)["energy"], sum);
  EXPECT_EQ(nlohmann::json::parse(theirs.output)["optimal"], false);
  EXPECT_GT(sum, problem["bound"].get<int64_t>());

  nlohmann::json wrong = home;
  wrong.back() = "sim:0";
  expect_one_line(score(wrong, problem["hash"]), "the host, which reads the results) cannot be on sim:0");
  wrong.back() = "tpu:0";
  expect_one_line(score(wrong, problem["hash"]), "tpu:0, which is no device of the problem");
  wrong.erase(wrong.begin());
  expect_one_line(score(wrong, problem["hash"]), "a device for each of the 7 groups");
  expect_one_line(score(home, "0123"), "another problem's placement: found problem 0123");
  for (const char* text : {"", "[]", "{\"format\": 3}", "{", "\xff"}) {
    std::ofstream(answer) << text;
    expect_one_line(place({"--import-plan", answer}), "answer.json: expected a JSON object");
  }
  expect_one_line(run_tool({"place", "linear.pw", "--symbol", "B=4", "--export-problem", file}), "one device");
}

}  // namespace
}  // namespace placewright::tools_test
