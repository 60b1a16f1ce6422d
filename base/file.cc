#include "placewright/base/file.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <sys/stat.h>

#include "placewright/base/error.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

[[noreturn]] void fail_to(const char* what, const fs::path& path, int error) {
  throw Error(fmt::format("cannot {} {}: {}", what, path.string(), std::strerror(error)));
}

// Reads until the end of the file, which may have grown or shrunk since it was measured.
template <typename Bytes>
std::optional<Bytes> try_read(const fs::path& path, int64_t max_bytes) {
  // Not blocking, so that a named pipe is refused below instead of waited for.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.number() < 0) {
    if (errno == ENOENT) return std::nullopt;
    fail_to("open", path, errno);
  }
  struct stat status;
  if (::fstat(file.number(), &status) != 0) fail_to("examine", path, errno);
  if (!S_ISREG(status.st_mode)) throw Error(fmt::format("cannot read {}: it is not a regular file", path.string()));
  if (status.st_size > max_bytes)
    throw Error(fmt::format("{} has {} bytes, at most {} are expected", path.string(), status.st_size, max_bytes));
  Bytes bytes;
  bytes.resize(static_cast<size_t>(status.st_size));
  size_t filled = 0;
  while (filled < bytes.size()) {
    ssize_t count = ::read(file.number(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to("read", path, errno);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

std::optional<std::vector<uint8_t>> try_read_file(const fs::path& path, int64_t max_bytes) {
  return try_read<std::vector<uint8_t>>(path, max_bytes);
}

std::vector<uint8_t> read_file(const fs::path& path, int64_t max_bytes) {
  auto bytes = try_read<std::vector<uint8_t>>(path, max_bytes);
  if (!bytes) fail_to("open", path, ENOENT);
  return std::move(*bytes);
}

std::string read_text_file(const fs::path& path, int64_t max_bytes) {
  auto text = try_read<std::string>(path, max_bytes);
  if (!text) fail_to("open", path, ENOENT);
  return std::move(*text);
}

AtomicFile::AtomicFile(fs::path path, uint32_t mode) : path_(std::move(path)) {
  // A terminal, a pipe or a device is written to; renaming a file over its name would destroy the name.
  std::error_code ignored;
  bool is_stream = fs::exists(path_, ignored) && fs::is_other(path_, ignored);
  if (fs::is_symlink(path_, ignored)) {  // as /dev/stdout, which may lead to a file that others write, too
    is_stream = is_stream || fs::read_symlink(path_, ignored).string().starts_with("/proc/");
    fs::path target = is_stream ? fs::path() : fs::weakly_canonical(path_, ignored);
    if (!target.empty()) path_ = std::move(target);
  }
  if (is_stream) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (descriptor_ < 0) fail_to("open", path_, errno);
    return;
  }
  // What its owner closed to others stays closed to them.
  struct stat replaced;
  const bool replaces = ::stat(path_.c_str(), &replaced) == 0 && S_ISREG(replaced.st_mode);
  // The address is unique among the living writers of this process; a number steps over what a killed one left.
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = fmt::format("{}.tmp-{}-{}-{}", path_.string(), ::getpid(), fmt::ptr(this), attempt);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (descriptor_ < 0 && errno != EEXIST) fail_to("create a file beside", path_, errno);
  }
  if (replaces) (void)::fchmod(descriptor_, replaced.st_mode & mode);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const std::string& doing) const {
  throw Error(fmt::format("cannot {} {}: {}{}", doing, path_.string(), std::strerror(errno),
                          temporary_.empty() ? "" : "; the file was left as it was"));
}

void AtomicFile::write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::commit(bool durable) {
  if (temporary_.empty()) {  // written already
    int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0) fail("write");
    return;
  }
  if (durable && ::fsync(descriptor_) != 0) fail("write");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace");
  ::close(descriptor_);
  descriptor_ = -1;
  if (!durable) return;
  fs::path folder = path_.parent_path();
  Descriptor directory(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems refuse fsync of a folder; the file itself is complete in any case.
  if (directory.number() >= 0) (void)::fsync(directory.number());
}

void write_file_atomically(const fs::path& path, std::span<const uint8_t> bytes, uint32_t mode) {
  AtomicFile file(path, mode);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text, uint32_t mode) {
  write_file_atomically(path, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()), mode);
}

}  // namespace placewright
