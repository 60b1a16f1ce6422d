// Runs the built command line in the folder of these tests, so that paths in its output are short and stable.
#pragma once

#include <string>
#include <vector>

namespace placewright::tools_test {

struct ToolRun {
  int exit_code = -1;
  std::string output;  // standard output
  std::string errors;  // standard error
};

// Arguments are passed as they are, through no shell. Standard input is empty; NO_COLOR is not set. Standard output
// goes to `output_to`, if it is given, and is then not read. `in_folder` stands for the folder of these tests.
ToolRun run_tool(const std::vector<std::string>& arguments, const std::string& output_to = "",
                 const std::string& in_folder = "");

// A folder of its own, removed with this object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace placewright::tools_test
