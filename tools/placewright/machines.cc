// Machine and profile files: what --machine and --profile name.
#include <algorithm>
#include <filesystem>

#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/base/join.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"

namespace placewright::tools {
namespace {

constexpr int64_t largest_file = int64_t{64} << 20;

// In the source tree, beside the build, or where they are installed; empty if neither is there.
std::filesystem::path shipped_folder() {
  std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const char* candidate : {"../../tools/machines", "../share/placewright/machines"})
    if (std::filesystem::is_directory(folder / candidate)) return std::filesystem::canonical(folder / candidate);
  return {};
}

}  // namespace

std::vector<std::string> shipped_machines() {
  std::vector<std::string> names;
  std::filesystem::path folder = shipped_folder();
  if (folder.empty()) return names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".machine") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

Machine read_machine(const std::string& name) {
  std::vector<std::string> shipped = shipped_machines();
  bool is_shipped = std::binary_search(shipped.begin(), shipped.end(), name);
  std::filesystem::path path = is_shipped ? shipped_folder() / (name + ".machine") : std::filesystem::path(name);
  if (!is_shipped && !std::filesystem::exists(path))
    throw Error(
        fmt::format("machine '{}': No such file, nor a shipped machine; those are {}", name, join(shipped, ", ")));
  Machine machine = parse_machine(read_text_file(path, largest_file), name);
  verify_machine(machine, name);
  return machine;
}

Profile read_profile(const std::string& file, const Machine& machine) {
  Profile profile = parse_profile(read_text_file(file, largest_file), file);
  verify_profile(profile, machine, file);
  return profile;
}

}  // namespace placewright::tools
