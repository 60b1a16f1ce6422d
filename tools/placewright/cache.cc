// placewright cache: what the cache of compiled kernels holds; empties it.
#include <ctime>
#include <filesystem>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/core.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/runtime/byte_cache.h"

namespace placewright::tools {
namespace {

std::filesystem::path folder_of(const CacheOptions& options) {
  return options.folder.empty() ? default_cache_folder() : std::filesystem::path(options.folder);
}

// Keys are made for programs; people see their beginning, on one line.
std::string shown(const std::string& key) {
  constexpr size_t width = 80;
  std::string text = key.substr(0, width);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  return key.size() > width ? text + "..." : text;
}

}  // namespace

int list_cache(const CacheOptions& options) {
  std::filesystem::path folder = folder_of(options);
  if (!std::filesystem::exists(folder)) {
    fmt::print("{}: no entries\n", folder.string());
    return success;
  }
  ByteCache cache(folder);
  std::vector<ByteCache::Entry> entries = cache.entries();
  fmt::print("{}: {} {}, {}\n", folder.string(), entries.size(), entries.size() == 1 ? "entry" : "entries",
             bytes_text(cache.size()));
  for (const ByteCache::Entry& entry : entries)
    fmt::print("  {:>14}  {:%Y-%m-%d %H:%M}  {}\n", bytes_text(entry.bytes),
               fmt::localtime(static_cast<std::time_t>(entry.modified)), shown(entry.key));
  return success;
}

int clear_cache(const CacheOptions& options) {
  std::filesystem::path folder = folder_of(options);
  int64_t freed = std::filesystem::exists(folder) ? ByteCache(folder).clear() : 0;
  fmt::print("{}: {} freed\n", folder.string(), bytes_text(freed));
  return success;
}

int print_cache_path(const CacheOptions& options) {
  fmt::print("{}\n", folder_of(options).string());
  return success;
}

}  // namespace placewright::tools
