// A dense row-major tensor in host memory: what constants, the evaluator and file readers hold. Bytes are shared and
// immutable once shared; make a new one to change it.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "placewright/base/error.h"
#include "placewright/ir/type.h"

namespace placewright {

// The dtype of a C++ element type: dtype_of<float>() is f32.
template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<bool>() {
  return DType::boolean;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::u8;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<uint32_t>() {
  return DType::u32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<uint64_t>() {
  return DType::u64;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}

class HostTensor {
 public:
  HostTensor();
  HostTensor(const HostTensor&);
  HostTensor(HostTensor&&) noexcept;
  HostTensor& operator=(const HostTensor&);
  HostTensor& operator=(HostTensor&&) noexcept;
  ~HostTensor();
  // Zeros, 64-byte aligned. Error if a size is negative or there is not so much memory.
  HostTensor(DType dtype, Sizes sizes);
  template <typename T>
  static HostTensor from(Sizes sizes, const std::vector<T>& values) {
    HostTensor tensor(dtype_of<T>(), std::move(sizes));
    tensor.require_elements(values.size());
    std::span<T> data = tensor.data<T>();
    for (size_t i = 0; i < values.size(); ++i) data[i] = values[i];
    return tensor;
  }
  template <typename T>
  static HostTensor scalar(T value) {
    return from<T>({}, {value});
  }

  DType dtype() const { return dtype_; }
  const Sizes& sizes() const { return sizes_; }
  int64_t elements() const { return elements_; }
  int64_t bytes() const { return byte_size(dtype_, elements_); }
  const uint8_t* raw() const { return data_.get(); }
  uint8_t* raw() { return data_.get(); }
  // Error if T is not the dtype's element type.
  template <typename T>
  std::span<const T> data() const {
    require_dtype(dtype_of<T>());
    return {reinterpret_cast<const T*>(data_.get()), static_cast<size_t>(elements_)};
  }
  template <typename T>
  std::span<T> data() {
    require_dtype(dtype_of<T>());
    return {reinterpret_cast<T*>(data_.get()), static_cast<size_t>(elements_)};
  }
  // Element `position` (row-major, flat) as f64 or i64; storing rounds once, to nearest even, or truncates and
  // saturates.
  double number(int64_t position) const;
  int64_t integer(int64_t position) const;
  void set_number(int64_t position, double value);
  void set_integer(int64_t position, int64_t value);

  HostTensor clone() const;                        // bytes of its own
  HostTensor reshaped(Sizes sizes) const;          // shares the bytes
  bool same_bytes(const HostTensor& other) const;  // dtype, sizes and every bit

 private:
  void require_elements(size_t given) const;
  void require_dtype(DType asked) const {
    if (asked != dtype_) [[unlikely]]
      refuse_dtype(asked);
  }
  [[noreturn]] void refuse_dtype(DType asked) const;

  DType dtype_;
  Sizes sizes_;
  int64_t elements_ = 0;
  std::shared_ptr<uint8_t> data_;
};

}  // namespace placewright
