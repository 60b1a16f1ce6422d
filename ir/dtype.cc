#include "placewright/ir/dtype.h"

#include <array>

#include "placewright/base/checked.h"

namespace placewright {
namespace {

using enum DTypeKind;

constexpr std::array<DTypeInfo, 17> table{{
    {DType::boolean, "bool", boolean, 8, true},
    {DType::i4, "i4", signed_integer, 4, false},
    {DType::u4, "u4", unsigned_integer, 4, false},
    {DType::i8, "i8", signed_integer, 8, false},
    {DType::u8, "u8", unsigned_integer, 8, true},
    {DType::i16, "i16", signed_integer, 16, false},
    {DType::u16, "u16", unsigned_integer, 16, false},
    {DType::i32, "i32", signed_integer, 32, true},
    {DType::u32, "u32", unsigned_integer, 32, false},
    {DType::i64, "i64", signed_integer, 64, true},
    {DType::u64, "u64", unsigned_integer, 64, false},
    {DType::f8e4m3, "f8e4m3", floating, 8, false},
    {DType::f8e5m2, "f8e5m2", floating, 8, false},
    {DType::f16, "f16", floating, 16, false},
    {DType::bf16, "bf16", floating, 16, false},
    {DType::f32, "f32", floating, 32, true},
    {DType::f64, "f64", floating, 64, true},
}};

}  // namespace

std::span<const DTypeInfo> dtype_table() { return table; }

const DTypeInfo& info(DType dtype) { return table[static_cast<size_t>(dtype)]; }

std::optional<DType> try_parse_dtype(std::string_view name) {
  for (const DTypeInfo& entry : table)
    if (entry.name == name) return entry.dtype;
  return std::nullopt;
}

int64_t byte_size(DType dtype, int64_t count) { return ceil_div(checked_mul(count, info(dtype).bits), 8); }

}  // namespace placewright
