// Each golden/*.pw holds a graph, a line `=> pass ...`, and the exact text after those passes, or after `=> plan` the
// plan's. `test_passes --bless` rewrites the expected part.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "placewright/passes/placement.h"
#include "test_machine.h"

namespace placewright {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool bless() {
  for (const std::string& argument : ::testing::internal::GetArgvs())
    if (argument == "--bless") return true;
  return false;
}

std::string outcome(const std::string& input, const std::string& command) {
  TestMachine machine;
  std::istringstream words(command);
  try {
    Graph graph = parse_graph(input);
    for (std::string word; words >> word;) {
      if (word == "strict")
        machine.context.options.strict = true;
      else if (word.starts_with("B="))
        machine.context.options.symbols["B"] = std::stoi(word.substr(2));
      else if (word == "plan")
        return print_plan(plan_placement(graph, machine.context));
      else
        graph = run_pass(find_pass(word), std::move(graph), machine.context);
    }
    return print_graph(graph);
  } catch (const Error& error) {
    return std::string("error: ") + error.what() + "\n";
  }
}

class Golden : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(Golden, Agrees) {
  std::string text = read(GetParam());
  size_t arrow = text.find("\n=> ");
  ASSERT_NE(arrow, std::string::npos) << "no line `=> pass`";
  size_t end = text.find('\n', arrow + 1);
  std::string input = text.substr(0, arrow + 1), command = text.substr(arrow + 4, end - arrow - 4);
  std::string found = outcome(input, command);
  if (bless())
    std::ofstream(GetParam()) << input << "=> " << command << "\n" << found;
  else
    EXPECT_EQ(found, text.substr(end + 1)) << "test_passes --bless writes what was found into the file";
}

std::vector<std::filesystem::path> files() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(PLACEWRIGHT_TEST_DATA "/golden"))
    if (entry.path().extension() == ".pw") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, ::testing::ValuesIn(files()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace placewright
