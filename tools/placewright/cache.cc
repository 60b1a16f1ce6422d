// placewright cache: what the cache of compiled kernels holds; empties it.
#include <ctime>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "command.h"
#include "placewright/base/error.h"
#include "placewright/runtime/byte_cache.h"

namespace placewright::tools {
namespace {

struct Options {
  std::string folder;
};

std::filesystem::path folder_of(const Options& options) {
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

int list(const Options& options) {
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

int clear(const Options& options) {
  std::filesystem::path folder = folder_of(options);
  int64_t freed = std::filesystem::exists(folder) ? ByteCache(folder).clear() : 0;
  fmt::print("{}: {} freed\n", folder.string(), bytes_text(freed));
  return success;
}

int path(const Options& options) {
  fmt::print("{}\n", folder_of(options).string());
  return success;
}

}  // namespace

void add_cache(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("cache", "The cache of compiled kernels: list it, empty it, say where it is");
  auto options = std::make_shared<Options>();
  command->add_option("--directory", options->folder, "Another cache than $PLACEWRIGHT_CACHE or ~/.cache/placewright")
      ->type_name("DIR");
  command->require_subcommand(1);
  struct Verb {
    const char* name;
    const char* summary;
    int (*run)(const Options&);
  };
  for (const Verb& verb : {Verb{"list", "Its entries, their sizes and ages", list},
                           Verb{"clear", "Remove all entries", clear}, Verb{"path", "Print its folder", path}})
    command->add_subcommand(verb.name, verb.summary)->callback([options, &action, run = verb.run] {
      action = [options, run] { return run(*options); };
    });
  command->footer("Examples:\n  placewright cache list\n  placewright cache --directory /tmp/kernels clear");
}

}  // namespace placewright::tools
