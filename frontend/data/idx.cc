// idx files: two zero bytes, an element code, the rank, big-endian sizes, big-endian elements.
#include <algorithm>
#include <array>
#include <cstring>
#include <zlib.h>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/file.h"
#include "placewright/data.h"

namespace placewright::data {
namespace {

constexpr int64_t largest_file = int64_t{1} << 34;

// The bytes of a file, unpacked if it is gzip. Grows with what the file really holds, up to `limit`.
class ByteSource {
 public:
  explicit ByteSource(const std::filesystem::path& path) : path_(path) {
    read_file(path, largest_file).swap(packed_);
    if (packed_.size() < 2 || packed_[0] != 0x1f || packed_[1] != 0x8b) return;
    is_gzip_ = true;
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw Error("zlib cannot be started");
  }
  ~ByteSource() {
    if (is_gzip_) inflateEnd(&stream_);
  }
  ByteSource(const ByteSource&) = delete;

  // Reads exactly `count` bytes; Error if there are fewer.
  void read(uint8_t* into, int64_t count, std::string_view what) {
    int64_t got = is_gzip_ ? inflate_some(into, count) : copy_some(into, count);
    if (got != count)
      throw Error(fmt::format("{}: truncated: found {} bytes of {}, expected {}", path_.string(), got, what, count));
  }
  // Of the file, too: nothing may follow what was packed. Error if its end and checksum are missing.
  bool is_at_end() {
    uint8_t byte;
    if (!is_gzip_) return copy_some(&byte, 1) == 0;
    if (inflate_some(&byte, 1) > 0) return false;
    if (!is_complete_) throw Error(fmt::format("{}: truncated: the gzip data's end is missing", path_.string()));
    return packed_left() == 0;
  }
  // The most bytes that can still come: deflate packs at most 1032 to 1.
  int64_t most_left() const { return is_gzip_ ? checked_mul(packed_left() + 1, 1032) + (64 << 10) : packed_left(); }

 private:
  int64_t packed_left() const { return static_cast<int64_t>(packed_.size()) - position_ + stream_.avail_in; }
  int64_t copy_some(uint8_t* into, int64_t count) {
    int64_t some = std::min(count, static_cast<int64_t>(packed_.size()) - position_);
    if (some > 0) std::memcpy(into, packed_.data() + position_, static_cast<size_t>(some));
    position_ += some;
    return some;
  }
  int64_t inflate_some(uint8_t* into, int64_t count) {
    int64_t done = 0;
    while (done < count && !ended_) {
      if (stream_.avail_in == 0) {  // zlib counts in 32 bits
        stream_.next_in = packed_.data() + position_;
        stream_.avail_in = static_cast<uInt>(std::min<int64_t>(packed_left(), 1 << 30));
        position_ += stream_.avail_in;
      }
      auto piece = static_cast<uInt>(std::min<int64_t>(count - done, 1 << 30));
      stream_.next_out = into + done;
      stream_.avail_out = piece;
      int status = inflate(&stream_, Z_NO_FLUSH);
      done += piece - stream_.avail_out;
      is_complete_ = status == Z_STREAM_END;
      if (is_complete_ || status == Z_BUF_ERROR)
        ended_ = true;
      else if (status != Z_OK)
        throw Error(fmt::format("{}: damaged gzip data after {} bytes", path_.string(), stream_.total_out));
    }
    return done;
  }

  const std::filesystem::path& path_;
  std::vector<uint8_t> packed_;
  int64_t position_ = 0;  // of what is read next, or was not given to zlib yet
  bool is_gzip_ = false, ended_ = false, is_complete_ = false;
  z_stream stream_{};
};

DType element_dtype(const std::filesystem::path& path, uint8_t code) {
  switch (code) {
    case 0x08:
      return DType::u8;
    case 0x0c:
      return DType::i32;
    case 0x0d:
      return DType::f32;
    case 0x0e:
      return DType::f64;
    default:
      throw Error(fmt::format("{}: element code 0x{:02x}, expected 0x08 (u8), 0x0c (i32), 0x0d (f32) or 0x0e (f64)",
                              path.string(), code));
  }
}

}  // namespace

HostTensor read_idx(const std::filesystem::path& path) {
  ByteSource source(path);
  std::array<uint8_t, 4> magic;
  source.read(magic.data(), 4, "the header");
  if (magic[0] != 0 || magic[1] != 0)
    throw Error(fmt::format("{}: starts with {:02x} {:02x}, expected an idx file's two zero bytes", path.string(),
                            magic[0], magic[1]));
  DType dtype = element_dtype(path, magic[2]);
  if (magic[3] > 8) throw Error(fmt::format("{}: {} dimensions, expected at most 8", path.string(), magic[3]));
  Sizes sizes;
  for (int d = 0; d < magic[3]; ++d) {
    std::array<uint8_t, 4> size;
    source.read(size.data(), 4, "the sizes");
    sizes.push_back(int64_t{size[0]} << 24 | int64_t{size[1]} << 16 | int64_t{size[2]} << 8 | size[3]);
  }
  auto approximate = static_cast<double>(byte_size(dtype, 1));
  for (int64_t size : sizes) approximate *= static_cast<double>(size);
  if (approximate > 0x1p62) throw Error(fmt::format("{}: sizes {} overflow 64 bits", path.string(), to_string(sizes)));
  int64_t bytes = byte_size(dtype, element_count(sizes));
  if (bytes > source.most_left())
    throw Error(fmt::format("{}: says {} bytes of elements ({}), but holds at most {}", path.string(), bytes,
                            to_string(sizes), source.most_left()));
  HostTensor tensor(dtype, std::move(sizes));
  source.read(tensor.raw(), bytes, "elements");
  if (!source.is_at_end())
    throw Error(fmt::format("{}: found bytes after the {} of its elements", path.string(), bytes));
  int64_t width = info(dtype).bits / 8;
  if (width > 1)
    for (int64_t i = 0; i < bytes; i += width) std::reverse(tensor.raw() + i, tensor.raw() + i + width);
  return tensor;
}

}  // namespace placewright::data
