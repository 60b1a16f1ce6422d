// Whole files, read within bounds and written all or nothing. Every Error names the path and the system's reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace placewright {

// Error if the file is not a regular one, cannot be read, or is larger than `max_bytes`.
std::vector<uint8_t> read_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 40);
std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 30);
// Null if there is no such file; other failures are Errors.
std::optional<std::vector<uint8_t>> try_read_file(const std::filesystem::path& path,
                                                  int64_t max_bytes = int64_t{1} << 40);

// Replaces the file by one that holds `bytes`, all or nothing: a temporary file beside it, fsync, rename, fsync of the
// folder. After a failure (a full disk) the old file stands untouched and no temporary is left. What is no file (a
// terminal, a pipe, /dev/stdout) is written to as it comes; a link stays, what it leads to is replaced. Nobody
// may do more with the new file than `mode` and the old one let them.
void write_file_atomically(const std::filesystem::path& path, std::span<const uint8_t> bytes, uint32_t mode = 0644);
void write_file_atomically(const std::filesystem::path& path, std::string_view text, uint32_t mode = 0644);

// Writes a file in pieces; nothing stands under `path` before commit(). Without commit() the temporary is removed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path, uint32_t mode = 0644);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  void write(std::span<const uint8_t> bytes);
  // With `durable` the bytes have reached the disk when it returns; without, a crash of the machine (not of the
  // process) may leave a damaged file.
  void commit(bool durable = true);

 private:
  [[noreturn]] void fail(const std::string& doing) const;
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

}  // namespace placewright
