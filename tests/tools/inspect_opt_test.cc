// The subcommands inspect and opt, and what the command line has in common.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"
#include "placewright/passes/pass.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;

TEST(CommandLine, HelpNamesEverySubcommandAndSucceeds) {
  ToolRun run = run_tool({"--help"});
  EXPECT_EQ(run.exit_code, 0);
  for (const char* command : {"inspect", "place", "opt", "run", "doctor", "cache", "bench"}) {
    EXPECT_THAT(run.output, HasSubstr(command));
    ToolRun help = run_tool({command, "--help"});
    EXPECT_EQ(help.exit_code, 0) << command;
    EXPECT_THAT(help.output, HasSubstr("Examples:\n  placewright " + std::string(command))) << command;
  }
}

TEST(CommandLine, WrongUseIsExitCode2) {
  ToolRun run = run_tool({});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.errors, "placewright: A subcommand is required (placewright --help)\n");
  EXPECT_EQ(run_tool({"inspect"}).exit_code, 2);
  EXPECT_EQ(run_tool({"inspect", "linear.pw", "--nonsense"}).exit_code, 2);
}

TEST(Inspect, SaysWhatIsInAGraph) {
  ToolRun run = run_tool({"inspect", "linear.pw"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.errors, "");
  EXPECT_EQ(run.output, R"(linear.pw: 1 function
function main, 7 ops
  1 argument, 2,560 B
    x  f32[B<=64,10]  2,560 B
  2 states, 88 B
    fc.weight  f32[10,2]  80 B
    fc.bias    f32[2]     8 B
  1 result: f32[B<=64,2]
  ops: 1 add, 1 broadcast, 1 dot_general, 1 mul
  roles: 4 forward
)");
}

TEST(Inspect, FaultsAreOneLineAndExitCode1) {
  ToolRun missing = run_tool({"inspect", "missing.pw"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_EQ(missing.output, "");
  EXPECT_THAT(missing.errors, HasSubstr("missing.pw"));
  EXPECT_EQ(std::count(missing.errors.begin(), missing.errors.end(), '\n'), 1);

  TemporaryFolder folder;
  write_file_atomically(folder / "bad.pw", "graph v1\nfunction \"f\"() {\n  %0 = nonsense() : f32[]\n");
  ToolRun bad = run_tool({"inspect", folder / "bad.pw"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.errors, "placewright: " + (folder / "bad.pw") + ":3:8: there is no op 'nonsense'\n");
}

TEST(Inspect, TextIsCanonicalAndStable) {
  ToolRun once = run_tool({"inspect", "--text", "linear.pw"});
  ASSERT_EQ(once.exit_code, 0);
  TemporaryFolder folder;
  write_file_atomically(folder / "again.pw", once.output);
  EXPECT_EQ(run_tool({"inspect", "--text", folder / "again.pw"}).output, once.output);
}

TEST(Opt, ListsEveryPass) {
  ToolRun run = run_tool({"opt", "--list"});
  EXPECT_EQ(run.exit_code, 0);
  for (const Pass& pass : all_passes()) EXPECT_THAT(run.output, HasSubstr(std::string(pass.name)));
}

TEST(Opt, RunsOnePass) {
  ToolRun run = run_tool({"opt", "--pass", "eliminate_dead", "linear.pw"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.errors, "");
  EXPECT_EQ(run.output, R"(graph v1

origins {
  #1 = forward 0 in "fc" from "train.cc":12
  #2 = forward 1 in "fc" from "train.cc":14
}

function "main"(%0, %1, %2) {
  %0 = input() {kind="argument", name="x"} : f32[B<=64,10]
  %1 = input() {kind="state", name="fc.weight"} : f32[10,2]
  %2 = input() {kind="state", name="fc.bias"} : f32[2]
  %3 = dot_general(%0, %1) {accumulate=f32, lhs_batch=[], lhs_contracting=[1], precision="f32", rhs_batch=[], rhs_contracting=[0]} : f32[B<=64,2] #1  // train.cc:12
  %4 = broadcast(%2) {dims=[1], shape=[B<=64,2]} : f32[B<=64,2] #1  // train.cc:12
  %5 = add(%3, %4) : f32[B<=64,2] #2  // train.cc:14
  return %5
}
)");
}

TEST(Opt, BindsSymbolsAndWritesAFile) {
  TemporaryFolder folder;
  ToolRun run =
      run_tool({"opt", "--pass", "specialise", "--symbol", "B=32", "linear.pw", "--output", folder / "out.pw"});
  EXPECT_EQ(run.exit_code, 0) << run.errors;
  EXPECT_EQ(run.output, "");
  EXPECT_THAT(read_text_file(folder / "out.pw"), HasSubstr("f32[32,10]"));
}

TEST(Opt, WrongArgumentsAreErrors) {
  ToolRun unknown = run_tool({"opt", "--pass", "nonsense", "linear.pw"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.errors, HasSubstr("nonsense"));
  for (const char* symbol : {"B", "B=", "=3", "B=-1", "B=3x"}) {
    ToolRun run = run_tool({"opt", "--symbol", symbol, "linear.pw"});
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_EQ(run.errors, "placewright: --symbol '" + std::string(symbol) + "': expected NAME=SIZE, such as B=32\n");
  }
}

}  // namespace
}  // namespace placewright::tools_test
