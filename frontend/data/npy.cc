#include "placewright/npy.h"

#include <array>
#include <bit>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/file.h"

namespace placewright {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian, and so is memory");

constexpr std::string_view magic = "\x93NUMPY";

struct Spelling {
  std::string_view descr;
  DType dtype;
};
constexpr std::array<Spelling, 8> spellings{{{"|b1", DType::boolean},
                                             {"|u1", DType::u8},
                                             {"<i4", DType::i32},
                                             {"<u4", DType::u32},
                                             {"<i8", DType::i64},
                                             {"<u8", DType::u64},
                                             {"<f4", DType::f32},
                                             {"<f8", DType::f64}}};

struct Header {
  DType dtype = DType::f32;
  bool fortran_order = false;
  Sizes sizes;
};

// The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Header run() {
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      std::string_view key = string();
      expect(':');
      if (key == "descr" && !has_descr) {
        header_.dtype = dtype(string());
        has_descr = true;
      } else if (key == "fortran_order" && !has_order) {
        header_.fortran_order = boolean();
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        header_.sizes = shape();
        has_shape = true;
      } else {
        fail(fmt::format("the key '{}' is unknown or there twice", key));
      }
      if (!accept(',') && !next_is('}')) fail("',' or '}' is missing");
    }
    if (!has_descr || !has_order || !has_shape) fail("descr, fortran_order and shape are not all there");
    return header_;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: damaged .npy header: {}", name_, what));
  }
  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool next_is(char token) {
    skip_spaces();
    return at_ < text_.size() && text_[at_] == token;
  }
  bool accept(char token) {
    if (!next_is(token)) return false;
    ++at_;
    return true;
  }
  void expect(char token) {
    if (!accept(token)) fail(fmt::format("'{}' is missing", token));
  }
  std::string_view string() {
    expect('\'');
    size_t end = text_.find('\'', at_);
    if (end == std::string_view::npos) fail("a string does not end");
    std::string_view found = text_.substr(at_, end - at_);
    at_ = end + 1;
    return found;
  }
  bool boolean() {
    skip_spaces();
    for (std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("fortran_order is neither True nor False");
  }
  DType dtype(std::string_view descr) const {
    for (const Spelling& spelling : spellings)
      if (spelling.descr == descr) return spelling.dtype;
    std::string known;
    for (const Spelling& spelling : spellings) known += fmt::format(" {}", spelling.descr);
    throw Error(fmt::format("{}: element type '{}' is not read, expected one of{}; convert it with astype", name_,
                            descr, known));
  }
  Sizes shape() {
    Sizes sizes;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      int64_t size = 0;
      size_t digits = 0;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_, ++digits)
        size = checked_add(checked_mul(size, 10), text_[at_] - '0');
      if (digits == 0) fail("a size is not a number");
      sizes.push_back(size);
      if (!accept(',') && !next_is(')')) fail("',' or ')' is missing in shape");
    }
    return sizes;
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  Header header_;
};

// Elements that stand in Fortran order, first dimension fastest, put into row-major order.
void copy_from_fortran_order(const uint8_t* source, HostTensor& tensor) {
  const Sizes& sizes = tensor.sizes();
  const int64_t size = byte_size(tensor.dtype(), 1);
  Sizes position(sizes.size(), 0);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    int64_t from = 0;
    for (size_t d = sizes.size(); d-- > 0;) from = from * sizes[d] + position[d];
    std::memcpy(tensor.raw() + i * size, source + from * size, static_cast<size_t>(size));
    for (size_t d = sizes.size(); d-- > 0;) {
      if (++position[d] < sizes[d]) break;
      position[d] = 0;
    }
  }
}

}  // namespace

HostTensor read_npy(const std::filesystem::path& path) {
  const std::string name = path.string();
  const std::vector<uint8_t> bytes = read_file(path);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(magic))
    throw Error(fmt::format("{}: not a .npy file: it does not begin with \\x93NUMPY", name));
  if (text.size() < 10) throw Error(fmt::format("{}: truncated .npy file of {} bytes", name, text.size()));
  const int version = bytes[6];
  if (version < 1 || version > 3)
    throw Error(fmt::format("{}: .npy format {}.{} is not read, expected 1.0 to 3.0", name, version, bytes[7]));
  const size_t length_bytes = version == 1 ? 2 : 4, start = 8 + length_bytes;
  size_t length = 0;
  for (size_t i = 0; i < length_bytes && 8 + i < bytes.size(); ++i)
    length |= static_cast<size_t>(bytes[8 + i]) << (8 * i);
  if (start > text.size() || length > text.size() - start)
    throw Error(
        fmt::format("{}: truncated .npy file: a header of {} bytes, but the file has {}", name, length, text.size()));

  const Header header = HeaderParser(text.substr(start, length), name).run();
  int64_t expected = byte_size(header.dtype, 1);
  for (int64_t size : header.sizes)
    if (__builtin_mul_overflow(expected, size, &expected))
      throw Error(fmt::format("{}: a tensor of {}{} takes more bytes than 64 bits count", name,
                              placewright::name(header.dtype), to_string(header.sizes)));
  const int64_t found = static_cast<int64_t>(text.size() - start - length);
  if (found != expected)
    throw Error(fmt::format("{}: {}{} takes {} bytes, but {} follow the header", name, placewright::name(header.dtype),
                            to_string(header.sizes), expected, found));

  const uint8_t* data = bytes.data() + start + length;
  if (header.dtype == DType::boolean)
    for (int64_t i = 0; i < expected; ++i)
      if (data[i] > 1)
        throw Error(fmt::format("{}: element {} of a bool tensor is {}, expected 0 or 1", name, i, data[i]));
  HostTensor tensor(header.dtype, header.sizes);
  if (header.fortran_order && header.sizes.size() > 1) {
    copy_from_fortran_order(data, tensor);
  } else if (expected > 0) {
    std::memcpy(tensor.raw(), data, static_cast<size_t>(expected));
  }
  return tensor;
}

void write_npy(const std::filesystem::path& path, const HostTensor& tensor) {
  std::string_view descr;
  for (const Spelling& spelling : spellings)
    if (spelling.dtype == tensor.dtype()) descr = spelling.descr;
  PW_CHECK(!descr.empty());
  std::string shape;
  for (int64_t size : tensor.sizes()) shape += fmt::format("{}, ", size);
  if (shape.size() > 2 && tensor.sizes().size() > 1) shape.resize(shape.size() - 2);
  if (tensor.sizes().size() == 1) shape.pop_back();  // (3,)
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  // Elements begin at a multiple of 64 bytes.
  header.append(static_cast<size_t>(round_up(static_cast<int64_t>(header.size()) + 11, 64)) - header.size() - 11, ' ');
  header += '\n';

  AtomicFile file(path);
  std::string start(magic);
  start += {'\1', '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  start += header;
  file.write({reinterpret_cast<const uint8_t*>(start.data()), start.size()});
  file.write({tensor.raw(), static_cast<size_t>(tensor.bytes())});
  file.commit();
}

}  // namespace placewright
