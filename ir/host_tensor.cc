#include "placewright/ir/host_tensor.h"

#include <cmath>
#include <limits>
#include <new>

#include <fmt/core.h>

#include "placewright/base/checked.h"

namespace placewright {
namespace {

constexpr std::align_val_t alignment{64};
constexpr size_t most_bytes = size_t{1} << 46;  // more than a machine has; some allocators end the program when asked

// Calls `body` with a value of the C++ type that holds `dtype`.
template <typename Body>
decltype(auto) with_element_type(DType dtype, Body body) {
  switch (dtype) {
    case DType::boolean:
    case DType::u8:
      return body(uint8_t{});
    case DType::i32:
      return body(int32_t{});
    case DType::u32:
      return body(uint32_t{});
    case DType::i64:
      return body(int64_t{});
    case DType::u64:
      return body(uint64_t{});
    case DType::f32:
      return body(float{});
    case DType::f64:
      return body(double{});
    default:
      throw Error("no host tensor of dtype " + std::string(name(dtype)) + " yet");
  }
}

template <typename T>
T saturate(double value) {
  if (std::isnan(value)) return 0;
  value = std::trunc(value);
  // 2^bits is exact in f64 where the largest integer is not.
  if (value >= std::ldexp(1.0, std::numeric_limits<T>::digits)) return std::numeric_limits<T>::max();
  if (value <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  return static_cast<T>(value);
}

}  // namespace

HostTensor::HostTensor(const HostTensor&) = default;
HostTensor::HostTensor(HostTensor&&) noexcept = default;
HostTensor& HostTensor::operator=(const HostTensor&) = default;
HostTensor& HostTensor::operator=(HostTensor&&) noexcept = default;
HostTensor::~HostTensor() = default;
HostTensor::HostTensor() : HostTensor(DType::f32, {}) {}

HostTensor::HostTensor(DType dtype, Sizes sizes) : dtype_(dtype), sizes_(std::move(sizes)) {
  const size_t size = static_cast<size_t>(round_up(std::max<int64_t>(byte_size(dtype_, sizes_), 1), 64));
  elements_ = element_count(sizes_);
  auto* bytes = size > most_bytes ? nullptr : static_cast<uint8_t*>(::operator new(size, alignment, std::nothrow));
  if (!bytes)
    throw Error(fmt::format("a tensor of {}{} takes {} bytes, which this process cannot get: make it smaller",
                            name(dtype_), to_string(sizes_), size));
  data_ = std::shared_ptr<uint8_t>(bytes, [](uint8_t* bytes) { ::operator delete(bytes, alignment); });
  std::memset(data_.get(), 0, size);
}

void HostTensor::require_elements(size_t given) const {
  if (static_cast<int64_t>(given) != elements_)
    throw Error(fmt::format("a tensor of {}{} was given {} elements, expected {}", name(dtype_), to_string(sizes_),
                            given, elements_));
}

void HostTensor::refuse_dtype(DType asked) const {
  throw Error(fmt::format("elements of a tensor of {}{} were asked for as {}, expected {}: convert it with to()",
                          name(dtype_), to_string(sizes_), name(asked), name(dtype_)));
}

double HostTensor::number(int64_t position) const {
  return with_element_type(
      dtype_, [&]<typename T>(T) { return static_cast<double>(reinterpret_cast<const T*>(raw())[position]); });
}

int64_t HostTensor::integer(int64_t position) const {
  return with_element_type(dtype_, [&]<typename T>(T) -> int64_t {
    T value = reinterpret_cast<const T*>(raw())[position];
    if constexpr (std::is_floating_point_v<T>)
      return saturate<int64_t>(value);
    else
      return static_cast<int64_t>(value);
  });
}

void HostTensor::set_number(int64_t position, double value) {
  if (dtype_ == DType::boolean) {
    raw()[position] = value != 0;
    return;
  }
  with_element_type(dtype_, [&]<typename T>(T) {
    T& element = reinterpret_cast<T*>(raw())[position];
    if constexpr (std::is_floating_point_v<T>)
      element = static_cast<T>(value);
    else
      element = saturate<T>(value);
  });
}

void HostTensor::set_integer(int64_t position, int64_t value) {
  if (dtype_ == DType::boolean) {
    raw()[position] = value != 0;
    return;
  }
  with_element_type(dtype_, [&]<typename T>(T) { reinterpret_cast<T*>(raw())[position] = static_cast<T>(value); });
}

HostTensor HostTensor::clone() const {
  HostTensor copy(dtype_, sizes_);
  std::memcpy(copy.raw(), raw(), static_cast<size_t>(bytes()));
  return copy;
}

HostTensor HostTensor::reshaped(Sizes sizes) const {
  PW_CHECK(element_count(sizes) == elements_);
  HostTensor view = *this;
  view.sizes_ = std::move(sizes);
  return view;
}

bool HostTensor::same_bytes(const HostTensor& other) const {
  return dtype_ == other.dtype_ && sizes_ == other.sizes_ &&
         std::memcmp(raw(), other.raw(), static_cast<size_t>(bytes())) == 0;
}

}  // namespace placewright
