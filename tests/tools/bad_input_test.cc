// Damaged, hostile and impossible input: one line that names the place and what was expected, and nothing written.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"
#include "placewright/npy.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;

class BadInput : public ::testing::Test {
 protected:
  BadInput() {
    write_npy(folder_ / "weight.npy", HostTensor(DType::f32, {10, 2}));
    write_npy(folder_ / "bias.npy", HostTensor(DType::f32, {2}));
    write_npy(folder_ / "x.npy", HostTensor(DType::f32, {3, 10}));
  }

  std::string write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }

  ToolRun run_linear(const std::string& x, const std::string& output) {
    return run_tool({"run", "linear.pw", "--input", "x=" + x, "--input", "fc.weight=" + (folder_ / "weight.npy"),
                     "--input", "fc.bias=" + (folder_ / "bias.npy"), "--output-dir", output});
  }

  static void expect_fault(const ToolRun& run, const std::string& message) {
    EXPECT_EQ(run.exit_code, 1) << run.errors;
    EXPECT_EQ(run.output, "");
    EXPECT_THAT(run.errors, HasSubstr(message));
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
  }

  TemporaryFolder folder_;
};

// Version 1.0 of the format with any header.
std::string npy(std::string header, const std::string& data = "") {
  header.resize((header.size() + 10 + 64) / 64 * 64 - 11, ' ');
  header += '\n';
  return std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(header.size() & 255) +
         static_cast<char>(header.size() >> 8) + header + data;
}

std::string npy_of(const std::string& dtype, const std::string& shape, const std::string& data = "") {
  return npy("{'descr': '" + dtype + "', 'fortran_order': False, 'shape': " + shape + ", }", data);
}

// Files may be named with any bytes; JSON has U+FFFD there.
TEST_F(BadInput, NamesThatAreNoTextAreWrittenAsJsonAllTheSame) {
  const std::string graph = read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/two.pw");
  const std::string file = write("c\xff.pw", graph);
  const std::vector<std::vector<std::string>> commands = {
      {"place", file, "--machine", "h200", "--symbol", "B=64", "--json"},
      {"place", file, "--machine", "h200", "--symbol", "B=64", "--format", "html"},
      {"place", file, "--machine", "h200", "--symbol", "B=64", "--export-problem", folder_ / "problem.json"},
      {"why", file, "tanh", "--machine", "h200", "--symbol", "B=64", "--json"},
      {"what-if", file, "--machine", "h200", "--batch", "1:4", "--json"},
      {"fit", file, "--machines", "h200", "--symbol", "B=64", "--json"}};
  for (const std::vector<std::string>& command : commands) {
    ToolRun run = run_tool(command);
    EXPECT_EQ(run.exit_code, 0) << command[0] << ": " << run.errors;
    EXPECT_TRUE(command.back() != "--json" || run.output.find('\xff') == std::string::npos) << command[0];
  }
}

TEST_F(BadInput, TensorsThatAreDamagedOrTooLarge) {
  const std::pair<std::string, std::string> cases[] = {
      {npy_of("<f4", "(4611686018427387904,)"), "takes more bytes than 64 bits count"},
      {npy_of("<f4", "(4294967296, 4294967296, 4)"), "takes more bytes than 64 bits count"},
      {npy_of("<f4", "(99999999999999999999,)"), ""},
      {npy_of("<f4", "(3, 1099511627776)"), "but 0 follow the header"},
      {npy_of("<f4", "(-3, 10)"), "a size is not a number"},
      {npy_of("<f4", "(3, 10)", "abc"), "f32[3,10] takes 120 bytes, but 3 follow the header"},
      {npy_of("|O", "(3, 10)"), "element type '|O' is not read"},
      {npy_of("<f8", "(3, 10)", std::string(240, '\0')), "input 'x': found f64[3,10], expected f32[B<=64,10]"},
      {npy_of("<f4", "(3, 9)", std::string(108, '\0')), "input 'x': found f32[3,9], expected f32[B<=64,10]"},
      {npy_of("<f4", "(65, 10)", std::string(2600, '\0')), "input 'x': found f32[65,10], expected f32[B<=64,10]"},
      {npy("{"), "damaged .npy header"},
      {std::string("\x93NUMPY\x01\0\xff\xff{", 11), "truncated .npy file"},
      {"", "not a .npy file"},
  };
  for (const auto& [bytes, message] : cases) {
    expect_fault(run_linear(write("bad.npy", bytes), folder_ / "out"), message);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "out")) << message;
  }
  expect_fault(run_linear(folder_.path(), folder_ / "out"), "not a regular file");
}

TEST_F(BadInput, PlacesThatCannotBeWrittenTo) {
  const std::string x = folder_ / "x.npy";
  expect_fault(run_linear(x, x), "x.npy");
  expect_fault(run_linear(x, "/proc/placewright"), "/proc/placewright");
  ToolRun run = run_tool({"opt", "--symbol", "B=4", "linear.pw", "-o", folder_ / "none/out.pw"});
  expect_fault(run, "none/out.pw");
}

TEST_F(BadInput, AFullDiskBehindStandardOutput) {
  if (!std::filesystem::is_character_file("/dev/full")) GTEST_SKIP() << "there is no /dev/full here";
  const std::vector<std::vector<std::string>> commands{{"inspect", "linear.pw"},
                                                       {"opt", "--list"},
                                                       {"opt", "--symbol", "B=4", "linear.pw"},
                                                       {"place", "--symbol", "B=4", "linear.pw"},
                                                       {"doctor"},
                                                       {"--help"}};
  for (const std::vector<std::string>& command : commands)
    expect_fault(run_tool(command, "/dev/full"), "No space left on device");
  expect_fault(run_tool({"opt", "--symbol", "B=4", "linear.pw", "-o", "/dev/full"}), "No space left on device");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST_F(BadInput, GraphsOfAbsurdSizes) {
  auto place = [&](const std::string& type) {
    return run_tool(
        {"place", write("absurd.pw",
                        "graph v1\nfunction \"main\"(%0) {\n  %0 = input() {kind=\"argument\", name=\"x\"} : " + type +
                            "\n  %1 = add(%0, %0) : " + type + "\n  return %1\n}\n")});
  };
  EXPECT_EQ(place("f32[4,5]").exit_code, 0);
  expect_fault(place("f32[4611686018427387904]"), "absurd.pw:3:46: a tensor of f32[4611686018427387904] takes more");
  expect_fault(place("f64[4294967296,4294967296]"), "takes more bytes than 64 bits count");
  expect_fault(place("f32[99999999999999999999]"), "expected a size");
  expect_fault(place("f32[-1]"), "found size -1, expected at least 0");
  expect_fault(place("f32[B<=9000000000000000000]"), "takes more bytes than 64 bits count");

  const std::string large = write("large.pw", R"(graph v1
function "main"(%0) {
  %0 = input() {kind="argument", name="x"} : f32[2]
  %1 = broadcast(%0) {dims=[2], shape=[1000000,1000000,2]} : f32[1000000,1000000,2]
  %2 = add(%1, %1) : f32[1000000,1000000,2]
  return %2
}
)");
  expect_fault(run_tool({"run", large, "--input", "x=" + (folder_ / "bias.npy"), "--output-dir", folder_ / "out"}),
               "a step needs 24000000000008 bytes of memory on cpu:0, which has");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out"));
}

TEST_F(BadInput, SymbolsThatTheGraphDoesNotHaveOrThatAreGivenTwice) {
  expect_fault(run_tool({"place", "linear.pw", "--symbol", "B=4", "--symbol", "Q=3"}),
               "--symbol Q=3: the graph has no such symbol, only B");
  expect_fault(run_tool({"what-if", "linear.pw", "--machine", "h200", "--batch", "1:4", "--symbol", "Q=3"}),
               "--symbol Q=3: the graph has no such symbol");
  expect_fault(run_tool({"place", "linear.pw", "--symbol", "B=4", "--symbol", "B=5"}),
               "--symbol 'B=5': B is given twice, expected once");
  expect_fault(run_tool({"what-if", "linear.pw", "--machine", "h200", "--batch", "0:4"}),
               "--batch: expected a range of numbers above 0, such as 1:4096");
}

// What a user, or a file, may name holds line breaks and what terminals obey.
TEST_F(BadInput, NamesWithControlCharactersStayOnOneLine) {
  expect_fault(run_tool({"why", "linear.pw", "two\nlines\x1b[2J", "--symbol", "B=4"}),
               "no op is named 'two\\x0alines\\x1b[2J'");
  ToolRun run = run_tool({"place", "--format", "two\nlines"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
}

TEST_F(BadInput, AModelWithoutOpsHasNoneToAskFor) {
  const std::string empty = write("empty.pw", "graph v1\nfunction \"main\"() {\n  return\n}\n");
  expect_fault(run_tool({"why", empty, "tanh"}), "no op is named 'tanh': the model has none");
  expect_fault(run_tool({"what-if", empty, "--machine", "h200", "--batch", "1:4"}), "--batch: no argument");
  EXPECT_EQ(run_tool({"place", empty, "--machine", "h200", "-o", folder_ / "empty.lock"}).exit_code, 0);
  EXPECT_EQ(run_tool({"place", empty, "--machine", "h200", "--check", folder_ / "empty.lock"}).exit_code, 0);
  const std::string none = write("none.pw", "graph v1\n");
  expect_fault(run_tool({"place", none}), none + ": invalid graph: it has no function");
}

// Two models may well share a few names.
TEST_F(BadInput, APlanOfAnotherModelThatSharesSomeNames) {
  const std::string graphs = std::string(PLACEWRIGHT_TEST_DATA) + "/../../examples/graphs/";
  const std::string lock = folder_ / "lenet.lock", out = folder_ / "out.lock";
  ASSERT_EQ(run_tool({"place", graphs + "lenet.pw", "--machine", "h200", "-o", lock}).exit_code, 0);
  const std::string before = read_text_file(lock);
  for (const char* option : {"--plan", "--check"}) {
    std::vector<std::string> arguments{"place", graphs + "mlp.pw", "--machine", "h200", option, lock};
    if (option == std::string("--plan")) arguments.insert(arguments.end(), {"-o", out});
    if (option == std::string("--check")) arguments.emplace_back("--accept");
    expect_fault(run_tool(arguments), "the plan is another model's (lenet.pw): only ");
  }
  EXPECT_EQ(read_text_file(lock), before);
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace placewright::tools_test
