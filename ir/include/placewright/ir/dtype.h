// Element types: a table in bits, so that sub-byte types fit. A DType is an index into that table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace placewright {

enum class DType : uint8_t {
  boolean,
  i4,
  u4,
  i8,
  u8,
  i16,
  u16,
  i32,
  u32,
  i64,
  u64,
  f8e4m3,
  f8e5m2,
  f16,
  bf16,
  f32,
  f64
};

enum class DTypeKind : uint8_t { boolean, signed_integer, unsigned_integer, floating };

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as text forms spell it: "f32", "bool"
  DTypeKind kind;
  int bits;        // in memory; a bool takes a byte
  bool supported;  // whether ops, evaluator and code generators take it today
};

std::span<const DTypeInfo> dtype_table();
const DTypeInfo& info(DType dtype);
inline std::string_view name(DType dtype) { return info(dtype).name; }
std::optional<DType> try_parse_dtype(std::string_view name);

inline bool is_floating(DType dtype) { return info(dtype).kind == DTypeKind::floating; }
inline bool is_integer(DType dtype) {
  return info(dtype).kind == DTypeKind::signed_integer || info(dtype).kind == DTypeKind::unsigned_integer;
}
inline bool is_signed(DType dtype) {
  return info(dtype).kind == DTypeKind::signed_integer || info(dtype).kind == DTypeKind::floating;
}
// Bytes that `count` elements take, rounded up to whole bytes.
int64_t byte_size(DType dtype, int64_t count);

}  // namespace placewright
