#include "placewright/base/shared_library.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <fstream>
#include <link.h>
#include <sstream>

#include <fmt/core.h>
#include <sys/stat.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

// Where the system's loader looks, in its order, as far as its settings say it in words.
std::vector<fs::path> loader_folders() {
  std::vector<fs::path> folders;
  std::error_code ignored;
  const char* path = std::getenv("LD_LIBRARY_PATH");
  std::istringstream named(path ? path : "");
  for (std::string folder; std::getline(named, folder, ':');)
    if (!folder.empty()) folders.emplace_back(folder);
  std::vector<fs::path> settings;
  for (const fs::directory_entry& entry : fs::directory_iterator("/etc/ld.so.conf.d", ignored))
    if (entry.path().extension() == ".conf") settings.push_back(entry.path());
  std::sort(settings.begin(), settings.end());
  for (const fs::path& each : settings) {
    std::ifstream lines(each);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with('/')) folders.emplace_back(line.substr(0, line.find_last_not_of(" \t\r") + 1));
  }
  for (const char* folder :
       {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"})
    folders.emplace_back(folder);
  return folders;
}

// With the loader's own folders instead of what is left to it.
std::vector<std::string> candidates(const SharedLibrary::Search& search, bool with_loader_folders = false) {
  std::vector<std::string> paths;
  auto add_folder = [&](const fs::path& folder) {
    for (const std::string& name : search.names) paths.push_back((folder / name).string());
  };
  if (!search.override_variable.empty()) {
    if (const char* value = std::getenv(search.override_variable.c_str()); value && *value) {
      // An override that is set is obeyed alone: falling back would hide a mistyped path.
      std::error_code ignored;
      if (fs::is_directory(value, ignored))
        add_folder(value);
      else
        paths.push_back(value);
      return paths;
    }
  }
  auto add_system = [&] {
    if (!with_loader_folders) paths.insert(paths.end(), search.names.begin(), search.names.end());
    if (with_loader_folders)
      for (const std::string& name : search.names)  // each in all folders
        for (const fs::path& folder : loader_folders()) paths.push_back((folder / name).string());
  };
  if (search.system && search.system_first) add_system();
  for (const fs::path& folder : search.folders) add_folder(folder);
  if (search.system && !search.system_first) add_system();
  return paths;
}

std::string path_of(void* handle, const std::string& candidate) {
  link_map* map = nullptr;
  if (::dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map && map->l_name && *map->l_name)
    return map->l_name;
  return candidate;
}

// Empty unless there is such a file.
std::string stamp_of_file(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  return fmt::format("{} {} {}.{:09}", path, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

std::string file_of_code(const void* address) {
  Dl_info info;
  if (::dladdr(address, &info) == 0 || !info.dli_fname) throw Error("cannot find the file that this code came from");
  return info.dli_fname;
}

}  // namespace

std::optional<SharedLibrary> SharedLibrary::try_open(const Search& search, std::vector<std::string>* reasons) {
  for (const std::string& candidate : candidates(search)) {
    // RTLD_NODELETE: such libraries (LLVM, drivers) keep threads and static state that unloading would pull away.
    if (void* handle = ::dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE))
      return SharedLibrary({handle, [](void* library) { ::dlclose(library); }}, path_of(handle, candidate));
    const char* reason = ::dlerror();
    if (reasons) reasons->push_back(reason ? reason : candidate + ": unknown reason");
  }
  return std::nullopt;
}

SharedLibrary SharedLibrary::open(const Search& search) {
  std::vector<std::string> reasons;
  std::optional<SharedLibrary> library = try_open(search, &reasons);
  if (library) return *library;
  std::string hint =
      search.override_variable.empty() ? "" : fmt::format("; set {} to its path", search.override_variable);
  throw Error(fmt::format("cannot open {}: {}{}", join(search.names, " or "), join(reasons, "; "), hint));
}

std::string SharedLibrary::stamp(const Search& search) {
  for (const std::string& candidate : candidates(search, true))
    if (std::string stamp = stamp_of_file(candidate); !stamp.empty()) return stamp;
  return {};
}

void* SharedLibrary::try_symbol(const char* name) const { return ::dlsym(handle_.get(), name); }

void* SharedLibrary::symbol(const char* name) const {
  void* address = try_symbol(name);
  if (!address) throw Error(fmt::format("{} has no symbol {}: is it of another version?", path_, name));
  return address;
}

fs::path folder_of_code(const void* address) {
  std::error_code ignored;
  return fs::weakly_canonical(file_of_code(address), ignored).parent_path();
}

std::string stamp_of_code(const void* address) { return stamp_of_file(file_of_code(address)); }

}  // namespace placewright
