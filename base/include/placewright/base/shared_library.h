// Opens optional shared libraries at run time, so that nothing is linked that a machine may lack.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace placewright {

class SharedLibrary {
 public:
  struct Search {
    std::vector<std::string> names;              // "libcuda.so.1", in order of preference
    std::vector<std::filesystem::path> folders;  // tried first, in order
    std::string override_variable;               // environment variable that names the file or its folder; may be empty
    bool system = true;                          // the system loader's own search comes last ...
    bool system_first = false;                   // ... or first
  };

  // Null if no candidate could be opened; `reasons`, if given, gets one line for each that was tried.
  static std::optional<SharedLibrary> try_open(const Search& search, std::vector<std::string>* reasons = nullptr);
  // The same, or an Error that names every candidate and why it failed.
  static SharedLibrary open(const Search& search);
  // Path, size and time of change of the first candidate, without opening it: changes when it is built anew. Of the
  // system loader it knows the folders that LD_LIBRARY_PATH and /etc/ld.so.conf.d name, and the usual ones. Empty if
  // there is none.
  static std::string stamp(const Search& search);

  void* try_symbol(const char* name) const;  // null if absent
  void* symbol(const char* name) const;      // Error names the symbol and the library's path
  template <typename Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }
  const std::string& path() const { return path_; }  // of the file that was opened

 private:
  SharedLibrary(std::shared_ptr<void> handle, std::string path) : handle_(std::move(handle)), path_(std::move(path)) {}
  std::shared_ptr<void> handle_;
  std::string path_;
};

// The folder of the shared library or program that holds `address`: where our own optional libraries stand.
std::filesystem::path folder_of_code(const void* address);
// SharedLibrary::stamp of the file that holds `address`.
std::string stamp_of_code(const void* address);

}  // namespace placewright
