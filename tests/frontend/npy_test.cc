// .npy files: exact round trips, NumPy's own spelling, and damaged files.
#include "placewright/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"

namespace placewright {
namespace {

class Npy : public ::testing::Test {
 protected:
  Npy() {
    std::string pattern = (std::filesystem::temp_directory_path() / "placewright_npy.XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~Npy() override { std::filesystem::remove_all(folder_); }

  // What read_npy says of a file with these bytes.
  std::string error_of(const std::string& bytes) {
    write_file_atomically(folder_ / "x.npy", bytes);
    try {
      read_npy(folder_ / "x.npy");
    } catch (const Error& error) {
      std::string message = error.what(), path = (folder_ / "x.npy").string();
      EXPECT_EQ(message.rfind(path, 0), 0u) << message;
      return message.substr(path.size());
    }
    return "no error";
  }

  std::filesystem::path folder_;
};

// A file of format 1.0 with this header and these bytes of data.
std::string npy(std::string header, const std::string& data) {
  header += '\n';
  std::string bytes("\x93NUMPY\1\0", 8);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + data;
}

TEST_F(Npy, RoundTripsEveryDtypeAndRank) {
  for (DType dtype :
       {DType::boolean, DType::u8, DType::i32, DType::u32, DType::i64, DType::u64, DType::f32, DType::f64})
    for (const Sizes& sizes : {Sizes{}, Sizes{3}, Sizes{2, 3}, Sizes{0, 4}, Sizes{2, 1, 5}}) {
      HostTensor tensor(dtype, sizes);
      for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_integer(i, i % 2);
      write_npy(folder_ / "t.npy", tensor);
      EXPECT_TRUE(read_npy(folder_ / "t.npy").same_bytes(tensor)) << name(dtype) << to_string(sizes);
      EXPECT_EQ((std::filesystem::file_size(folder_ / "t.npy") - static_cast<uint64_t>(tensor.bytes())) % 64, 0u);
    }
}

TEST_F(Npy, ReadsFortranOrder) {
  std::string data;
  for (char i = 0; i < 6; ++i) data += i;
  write_file_atomically(folder_ / "f.npy", npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", data));
  HostTensor expected = HostTensor::from<uint8_t>({2, 3}, {0, 2, 4, 1, 3, 5});
  EXPECT_TRUE(read_npy(folder_ / "f.npy").same_bytes(expected));
}

TEST_F(Npy, DamagedFilesAreErrors) {
  EXPECT_EQ(error_of("PK\3\4"), ": not a .npy file: it does not begin with \\x93NUMPY");
  EXPECT_EQ(error_of("\x93NUMPY"), ": truncated .npy file of 6 bytes");
  EXPECT_EQ(error_of(std::string("\x93NUMPY\1\0\xff\xff", 10)),
            ": truncated .npy file: a header of 65535 bytes, but the file has 10");
  EXPECT_EQ(error_of(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "1234")),
            ": f32[2] takes 8 bytes, but 4 follow the header");
  EXPECT_EQ(
      error_of(npy("{'descr': '<c8', 'fortran_order': False, 'shape': (), }", "12345678")),
      ": element type '<c8' is not read, expected one of |b1 |u1 <i4 <u4 <i8 <u8 <f4 <f8; convert it with astype");
  EXPECT_EQ(error_of(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "x")),
            ": element type '|O' is not read, expected one of |b1 |u1 <i4 <u4 <i8 <u8 <f4 <f8; convert it with astype");
  EXPECT_EQ(error_of(npy("{'descr': '<f4', 'shape': (1,), }", "1234")),
            ": damaged .npy header: descr, fortran_order and shape are not all there");
  EXPECT_EQ(error_of(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }", "\2")),
            ": element 0 of a bool tensor is 2, expected 0 or 1");
}

TEST_F(Npy, AbsurdSizesAreErrorsBeforeAnythingIsAllocated) {
  EXPECT_THAT(error_of(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", "")),
              ::testing::HasSubstr("takes 8000000000000 bytes, but 0 follow"));
  std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 2), }";
  write_file_atomically(folder_ / "x.npy", npy(header, ""));
  EXPECT_THROW(read_npy(folder_ / "x.npy"), Error);
}

TEST_F(Npy, EveryPrefixIsRefused) {
  std::string whole = npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", "12345678");
  for (size_t length = 0; length < whole.size(); ++length) {
    write_file_atomically(folder_ / "x.npy", whole.substr(0, length));
    EXPECT_THROW(read_npy(folder_ / "x.npy"), Error) << length;
  }
}

}  // namespace
}  // namespace placewright
