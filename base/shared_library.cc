#include "placewright/base/shared_library.h"

#include <cstdlib>
#include <dlfcn.h>
#include <link.h>

#include <fmt/core.h>
#include <sys/stat.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> candidates(const SharedLibrary::Search& search) {
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
  if (search.system && search.system_first) paths.insert(paths.end(), search.names.begin(), search.names.end());
  for (const fs::path& folder : search.folders) add_folder(folder);
  if (search.system && !search.system_first) paths.insert(paths.end(), search.names.begin(), search.names.end());
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
  for (const std::string& candidate : candidates(search))
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
