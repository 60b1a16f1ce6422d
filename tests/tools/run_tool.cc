#include "tools/run_tool.h"

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <unistd.h>

#include <sys/wait.h>

#include "placewright/base/file.h"

namespace placewright::tools_test {

ToolRun run_tool(const std::vector<std::string>& arguments, const std::string& output_to,
                 const std::string& in_folder) {
  TemporaryFolder folder;
  std::string output = output_to.empty() ? folder / "output" : output_to, errors = folder / "errors";
  std::vector<char*> argv;
  std::string tool = PLACEWRIGHT_TOOL;
  argv.push_back(tool.data());
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);

  pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    int descriptors[3] = {open("/dev/null", O_RDONLY), open(output.c_str(), O_CREAT | O_WRONLY, 0600),
                          open(errors.c_str(), O_CREAT | O_WRONLY, 0600)};
    for (int i = 0; i < 3; ++i) dup2(descriptors[i], i);
    if (chdir(in_folder.empty() ? PLACEWRIGHT_TEST_DATA : in_folder.c_str()) != 0) _exit(126);
    execv(tool.c_str(), argv.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ToolRun run;
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (output_to.empty()) run.output = read_text_file(output);
  run.errors = read_text_file(errors);
  return run;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "placewright_test.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace placewright::tools_test
