// A folder of bytes under keys, shared by processes: compiled kernels survive their process. One file an entry, written
// beside its place and renamed, so that readers see all of it or nothing, whoever is killed when. The full key is
// stored and compared. Whatever is wrong with an entry, load finds nothing and the entry goes: a cache never stops a
// program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace placewright {

// Where compiled kernels are kept unless the user says otherwise: $PLACEWRIGHT_CACHE, else placewright/kernels below
// $XDG_CACHE_HOME or ~/.cache. Error if none of these variables is set.
std::filesystem::path default_cache_folder();

class ByteCache {
 public:
  struct Entry {
    std::string key;
    int64_t bytes = 0;     // on disk
    int64_t modified = 0;  // seconds since 1970
    std::filesystem::path path;
  };

  // Makes the folder with mode 0700. Error if it belongs to somebody else, is a link, or others may enter it and that
  // cannot be mended, or must not because it holds other files, which the cache never touches. When entries together
  // exceed `max_bytes`, the oldest go.
  explicit ByteCache(std::filesystem::path folder, int64_t max_bytes = int64_t{2} << 30);

  std::optional<std::vector<uint8_t>> load(const std::string& key) const;
  // Failures (a full disk) are logged in one line; the entry is then just not there.
  void store(const std::string& key, std::span<const uint8_t> bytes) const;

  // All entries that are whole, by key; for people and `clear`, not for programs: others may add and remove meanwhile.
  std::vector<Entry> entries() const;
  int64_t size() const;   // bytes on disk of all its files, damaged and temporary ones too
  int64_t clear() const;  // removes all its files; the bytes that became free
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path path_of(const std::string& key) const;
  void trim() const;

  std::filesystem::path folder_;
  int64_t max_bytes_;
};

}  // namespace placewright
