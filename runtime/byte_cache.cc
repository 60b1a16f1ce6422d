#include "placewright/runtime/byte_cache.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <tuple>
#include <unistd.h>
#define XXH_INLINE_ALL  // header-only: nothing to link
#include <xxhash.h>

#include <fmt/core.h>
#include <sys/stat.h>

#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/base/log.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

constexpr char magic[8] = {'P', 'W', 'C', 'A', 'C', 'H', 'E', '1'};
constexpr int64_t largest_entry = int64_t{1} << 30;
constexpr std::string_view suffix = ".entry";
constexpr int64_t stale_seconds = 3600;  // a temporary file that old belongs to a process that was killed

// What a file holds: this, the key, the bytes.
struct Header {
  char magic[8];
  uint64_t key_bytes;
  uint64_t payload_bytes;
  XXH128_canonical_t checksum;  // of the key and the bytes
};

// The cache of somebody else would run their code in this process.
void require_own(const fs::path& path, const struct stat& status) {
  if (status.st_uid != ::geteuid())
    throw Error(fmt::format("cache {} belongs to user {}, expected {}: choose another folder", path.string(),
                            status.st_uid, ::geteuid()));
}

XXH128_canonical_t checksum(std::span<const uint8_t> key_and_payload) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(key_and_payload.data(), key_and_payload.size()));
  return canonical;
}

struct Content {
  std::string_view key;
  std::span<const uint8_t> payload;
};

// Nothing if the file is damaged in any way.
std::optional<Content> try_decode(std::span<const uint8_t> file) {
  Header header;
  if (file.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, file.data(), sizeof header);
  std::span<const uint8_t> rest = file.subspan(sizeof header);
  if (std::memcmp(header.magic, magic, sizeof magic) != 0 || header.key_bytes > rest.size() ||
      header.payload_bytes != rest.size() - header.key_bytes)
    return std::nullopt;
  XXH128_canonical_t expected = checksum(rest);
  if (std::memcmp(&expected, &header.checksum, sizeof expected) != 0) return std::nullopt;
  return Content{{reinterpret_cast<const char*>(rest.data()), header.key_bytes}, rest.subspan(header.key_bytes)};
}

bool has_suffix(const fs::path& path) { return path.extension() == suffix; }

// Names that path_of and AtomicFile give: 32 digits, the suffix and, while it is written, ".tmp-...". Users may name
// any folder as the cache: their files in it are neither counted nor removed.
bool is_own_name(const std::string& name) {
  constexpr size_t digits = 32;
  if (name.size() < digits + suffix.size() || name.find_first_not_of("0123456789abcdef") != digits) return false;
  std::string_view rest = std::string_view(name).substr(digits);
  return rest == suffix || rest.starts_with(std::string(suffix) + ".tmp-");
}

struct File {
  fs::path path;
  struct stat status;
};

// The cache's files in the folder, by name. Files that vanish meanwhile are left out.
std::vector<File> list(const fs::path& folder) {
  std::vector<File> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    File file{it->path(), {}};
    if (!is_own_name(file.path.filename().string())) continue;
    if (::lstat(file.path.c_str(), &file.status) == 0 && S_ISREG(file.status.st_mode)) files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

// Only a folder that is the cache's alone is closed to others: one that holds anything else has other uses.
void make_private(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!is_own_name(it->path().filename().string()))
      throw Error(fmt::format("cache {} is open to others and holds {}, which is no entry: choose a folder of its own",
                              folder.string(), it->path().filename().string()));
  if (error || ::chmod(folder.c_str(), 0700) != 0)
    throw Error(fmt::format("cache {} is open to others: chmod 700 it", folder.string()));
}

}  // namespace

fs::path default_cache_folder() {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::string folder = variable("PLACEWRIGHT_CACHE"); !folder.empty()) return folder;
  if (std::string caches = variable("XDG_CACHE_HOME"); !caches.empty()) return fs::path(caches) / "placewright/kernels";
  if (std::string home = variable("HOME"); !home.empty()) return fs::path(home) / ".cache/placewright/kernels";
  throw Error("no folder for the kernel cache: neither PLACEWRIGHT_CACHE nor XDG_CACHE_HOME nor HOME is set");
}

ByteCache::ByteCache(fs::path folder, int64_t max_bytes) : folder_(std::move(folder)), max_bytes_(max_bytes) {
  std::error_code error;
  if (folder_.has_parent_path()) fs::create_directories(folder_.parent_path(), error);
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST)
    throw Error(fmt::format("cannot make the cache folder {}: {}", folder_.string(), std::strerror(errno)));
  struct stat status;
  if (::lstat(folder_.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    throw Error(fmt::format("cache {} is no folder: remove it or choose another", folder_.string()));
  require_own(folder_, status);
  if ((status.st_mode & 077) != 0) make_private(folder_);
}

fs::path ByteCache::path_of(const std::string& key) const {
  XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return folder_ / fmt::format("{:016x}{:016x}{}", hash.high64, hash.low64, suffix);
}

std::optional<std::vector<uint8_t>> ByteCache::load(const std::string& key) const {
  fs::path path = path_of(key);
  try {
    struct stat status;
    if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
    require_own(path, status);
    std::optional<std::vector<uint8_t>> file;
    if (S_ISREG(status.st_mode)) file = try_read_file(path, largest_entry);
    if (std::optional<Content> content = file ? try_decode(*file) : std::nullopt) {
      if (content->key != key) return std::nullopt;  // another key of the same hash
      size_t skipped = file->size() - content->payload.size();
      file->erase(file->begin(), file->begin() + static_cast<ptrdiff_t>(skipped));
      return file;
    }
    // Another process may just have put a good entry in its place; losing that one only costs a compile.
    std::error_code error;
    fs::remove(path, error);  // an empty folder, too
    log_warning(fmt::format("cache entry {} is damaged: {}, its content is made again", path.string(),
                            error ? "it cannot be removed (" + error.message() + ")" : "removed"));
  } catch (const Error& error) {
    log_warning(fmt::format("cache entry not used: {}", error.what()));
  }
  return std::nullopt;
}

void ByteCache::store(const std::string& key, std::span<const uint8_t> bytes) const {
  Header header{};
  std::memcpy(header.magic, magic, sizeof magic);
  header.key_bytes = key.size();
  header.payload_bytes = bytes.size();
  std::vector<uint8_t> file(sizeof header + key.size() + bytes.size());
  std::copy(key.begin(), key.end(), file.begin() + sizeof header);
  std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<ptrdiff_t>(sizeof header + key.size()));
  header.checksum = checksum(std::span<const uint8_t>(file).subspan(sizeof header));
  std::memcpy(file.data(), &header, sizeof header);
  try {
    AtomicFile output(path_of(key), 0600);
    output.write(file);
    // Not flushed to the disk: what a power cut damages is found by its checksum and made again.
    output.commit(false);
    trim();
  } catch (const Error& error) {
    log_warning(fmt::format("cache entry not kept: {}", error.what()));
  }
}

void ByteCache::trim() const {
  std::vector<File> files = list(folder_);
  int64_t total = 0, now = std::time(nullptr);
  std::erase_if(files, [&](const File& file) {
    bool stale = !has_suffix(file.path) && now - file.status.st_mtim.tv_sec > stale_seconds;
    if (stale) ::unlink(file.path.c_str());
    if (!stale) total += file.status.st_size;
    return !has_suffix(file.path);
  });
  if (total <= max_bytes_) return;
  auto age = [](const File& file) {
    return std::tuple(file.status.st_mtim.tv_sec, file.status.st_mtim.tv_nsec, file.path.native());
  };
  std::sort(files.begin(), files.end(), [&](const File& a, const File& b) { return age(a) < age(b); });
  for (const File& file : files) {
    if (total <= max_bytes_) break;
    if (::unlink(file.path.c_str()) == 0) total -= file.status.st_size;
  }
}

std::vector<ByteCache::Entry> ByteCache::entries() const {
  std::vector<Entry> entries;
  for (const File& file : list(folder_)) {
    if (!has_suffix(file.path)) continue;
    std::optional<std::vector<uint8_t>> bytes;
    try {
      bytes = try_read_file(file.path, largest_entry);
    } catch (const Error&) {
      continue;  // unreadable: not an entry
    }
    if (std::optional<Content> content = bytes ? try_decode(*bytes) : std::nullopt)
      entries.push_back({std::string(content->key), file.status.st_size, file.status.st_mtim.tv_sec, file.path});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  return entries;
}

int64_t ByteCache::size() const {
  int64_t total = 0;
  for (const File& file : list(folder_)) total += file.status.st_size;
  return total;
}

int64_t ByteCache::clear() const {
  int64_t freed = 0;
  for (const File& file : list(folder_))
    if (::unlink(file.path.c_str()) == 0) freed += file.status.st_size;
  return freed;
}

}  // namespace placewright
