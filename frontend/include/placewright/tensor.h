// Tensor: a lazy handle to a captured operation or to a value. dtype, shape and device are answered without running;
// item(), value() and printing compile and run what is needed, and keep it. Handles are cheap to copy and share state.
#pragma once

#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "placewright/ir/host_tensor.h"
#include "placewright/ir/origin.h"
#include "placewright/ir/type.h"

namespace placewright {

namespace capture {
struct Node;
}

class Tensor {
 public:
  Tensor() = default;  // no tensor: only to be assigned to
  explicit Tensor(std::shared_ptr<capture::Node> node, int result = 0) : node_(std::move(node)), result_(result) {}
  // A tensor on the host that holds these elements, row-major. Shares the bytes.
  explicit Tensor(HostTensor value, std::source_location where = std::source_location::current());

  bool is_defined() const { return node_ != nullptr; }
  DType dtype() const;
  const Shape& shape() const;
  Sizes sizes() const;          // Error if a dimension is a symbol
  int64_t size(int dim) const;  // negative dims count from the end
  int rank() const;
  int64_t elements() const;
  // Where the value lives or will live: by `to`, else by the operands that it is computed from; host memory by default.
  DeviceId device() const;
  std::string device_reason() const;  // "moved by train.cc:31"

  // The elements in host memory. Runs what is needed; Error while a function is being compiled.
  HostTensor value(std::source_location where = std::source_location::current()) const;
  // The only element, as double.
  double item(std::source_location where = std::source_location::current()) const;
  template <typename T>
  std::vector<T> to_vector(std::source_location where = std::source_location::current()) const {
    HostTensor host = value(where);
    std::span<const T> data = std::as_const(host).data<T>();
    return {data.begin(), data.end()};
  }
  std::string to_string() const;  // elements, dtype and device; long tensors are shortened

  // A transfer: the value on that device ("cpu", "sim:1"). What is computed from it runs there.
  Tensor to(const DeviceId& device, std::source_location where = std::source_location::current()) const;
  Tensor to(const char* device, std::source_location where = std::source_location::current()) const;
  Tensor to(const std::string& device, std::source_location where = std::source_location::current()) const;
  Tensor to(DType dtype, std::source_location where = std::source_location::current()) const;
  Tensor cpu(std::source_location where = std::source_location::current()) const { return to("cpu", where); }

  // Shapes: -1 in reshape stands for what is left. Negative dims count from the end.
  Tensor reshape(Sizes sizes, std::source_location where = std::source_location::current()) const;
  Tensor flatten(int from = 0, std::source_location where = std::source_location::current()) const;
  Tensor transpose(int a, int b, std::source_location where = std::source_location::current()) const;
  Tensor permute(Sizes dims, std::source_location where = std::source_location::current()) const;
  Tensor t(std::source_location where = std::source_location::current()) const;  // the last two dims exchanged

  // Reductions over all elements, or over `dims`.
  Tensor sum(Sizes dims = {}, bool keep_dims = false,
             std::source_location where = std::source_location::current()) const;
  Tensor mean(Sizes dims = {}, bool keep_dims = false,
              std::source_location where = std::source_location::current()) const;
  Tensor argmax(int dim, std::source_location where = std::source_location::current()) const;

  const std::shared_ptr<capture::Node>& node() const { return node_; }
  int result() const { return result_; }

 private:
  std::shared_ptr<capture::Node> node_;
  int result_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

// What functions on tensors take: a Tensor or a number, made implicitly at the caller's line. A number takes the dtype
// of the tensor that it meets (a fraction beside integers gives f32).
class Operand {
 public:
  Operand(const Tensor& tensor, std::source_location where = std::source_location::current())  // implicit, as said
      : value_(tensor), where_(where) {}
  template <typename T>
    requires(std::is_arithmetic_v<T>)
  Operand(T number, std::source_location where = std::source_location::current())  // implicit, as said
      : where_(where) {
    if constexpr (std::is_same_v<T, bool>)
      value_ = number;
    else if constexpr (std::is_floating_point_v<T>)
      value_ = static_cast<double>(number);
    else
      value_ = static_cast<int64_t>(number);
  }

  bool is_tensor() const { return std::holds_alternative<Tensor>(value_); }
  const Tensor& tensor() const { return std::get<Tensor>(value_); }
  const std::variant<Tensor, bool, int64_t, double>& value() const { return value_; }
  std::source_location where() const { return where_; }
  operator Tensor() const;  // a number becomes a scalar: i64, bool or f32

 private:
  std::variant<Tensor, bool, int64_t, double> value_;
  std::source_location where_;
};

// --- Making tensors on the host. Random ones draw from the session's seed (see manual_seed).
using Here = std::source_location;
template <typename T>
Tensor tensor(const std::vector<T>& values, Sizes sizes, Here where = Here::current()) {
  return Tensor(HostTensor::from<T>(std::move(sizes), values), where);
}
template <typename T>
  requires(std::is_arithmetic_v<T>)
Tensor scalar(T value, Here where = Here::current()) {
  return Tensor(HostTensor::scalar<T>(value), where);
}
Tensor zeros(Sizes sizes, DType dtype = DType::f32, Here where = Here::current());
Tensor ones(Sizes sizes, DType dtype = DType::f32, Here where = Here::current());
Tensor full(Sizes sizes, double value, DType dtype = DType::f32, Here where = Here::current());
Tensor arange(int64_t count, DType dtype = DType::i64, Here where = Here::current());
// Uniform in [0, 1).
Tensor rand(const Sizes& sizes, DType dtype = DType::f32, Here where = Here::current());
// Normal, mean 0, deviation 1.
Tensor randn(const Sizes& sizes, DType dtype = DType::f32, Here where = Here::current());
Tensor randint(int64_t low, int64_t high, Sizes sizes, DType dtype = DType::i64, Here where = Here::current());

// --- Operators: NumPy's broadcasting, PyTorch's promotion of dtypes.
Tensor operator+(const Operand& a, const Operand& b);
Tensor operator-(const Operand& a, const Operand& b);
Tensor operator*(const Operand& a, const Operand& b);
Tensor operator/(const Operand& a, const Operand& b);  // true division: integers give f32
Tensor operator-(const Operand& a);
Tensor operator<(const Operand& a, const Operand& b);
Tensor operator<=(const Operand& a, const Operand& b);
Tensor operator>(const Operand& a, const Operand& b);
Tensor operator>=(const Operand& a, const Operand& b);
Tensor operator==(const Operand& a, const Operand& b);
Tensor operator!=(const Operand& a, const Operand& b);

}  // namespace placewright
