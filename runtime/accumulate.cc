#include "placewright/runtime/accumulate.h"

#include <string>

#include "placewright/base/error.h"

namespace placewright {
namespace {

template <typename T>
void add(void* destination, const void* source, int64_t count) {
  T* to = static_cast<T*>(destination);
  const T* from = static_cast<const T*>(source);
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

void accumulate_on_host(void* destination, const void* source, DType dtype, int64_t count) {
  switch (dtype) {
    case DType::f32:
      return add<float>(destination, source, count);
    case DType::f64:
      return add<double>(destination, source, count);
    case DType::i32:
      return add<uint32_t>(destination, source, count);  // unsigned: wraps
    case DType::i64:
      return add<uint64_t>(destination, source, count);
    default:
      throw Error("no all-reduce of " + std::string(name(dtype)) + ": expected f32, f64, i32 or i64");
  }
}

}  // namespace placewright
