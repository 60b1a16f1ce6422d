// Types of values. A tensor type has an element type, a logical shape, a physical layout and a place.
// Shapes and semantics are logical: a layout changes where elements stand in memory, never what an op means.
// Text: `f32[B<=64,10]{order=1,0 block=0:16 pad=0:0..2}@[sim:0,sim:1]{split 0}`, defaults omitted.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "placewright/base/shared.h"
#include "placewright/ir/dtype.h"

namespace placewright {

// A dimension's size: a number, or a symbol (such as the batch) with an upper bound. Sizes are never negative.
// `specialise` binds the symbols; what follows it sees numbers.
class Dim {
 public:
  Dim(int64_t number = 0) : number_(number) {}  // implicit: most sizes are numbers
  static Dim symbol(std::string name, int64_t bound);

  bool is_number() const { return symbol_.empty(); }
  int64_t number() const;                                     // Error if it is a symbol
  int64_t bound() const { return number_; }                   // the number, or the symbol's bound
  const std::string& symbol_name() const { return symbol_; }  // empty for a number
  std::string to_string() const;

  // Product: of two numbers, or of anything with 1; Error otherwise (reshapes keep a symbol in a dimension of its own).
  friend Dim operator*(const Dim& a, const Dim& b);
  friend bool operator==(const Dim&, const Dim&) = default;

 private:
  int64_t number_;
  std::string symbol_;
};

using Shape = std::vector<Dim>;
using Sizes = std::vector<int64_t>;  // a shape that is all numbers, or strides, or a position

int64_t element_count(const Sizes& sizes);  // checked; 1 for a scalar
// Of a dense tensor. Error, which names it, if a size is negative or 64 bits cannot count the bytes.
int64_t byte_size(DType dtype, const Sizes& sizes);
Sizes row_major_strides(const Sizes& sizes);  // in elements
std::string to_string(const Shape& shape);    // "[32,10]"
std::string to_string(const Sizes& sizes);

// How elements stand in memory. Physical dimensions, slowest first: the logical ones in `order`, each blocked one
// divided by its factor (rounded up), then one dimension of `factor` elements for each block, in the order of `blocks`.
struct Layout {
  struct Block {
    int dim;
    int64_t factor;
    friend bool operator==(const Block&, const Block&) = default;
  };
  struct Padding {  // elements added before and after a logical dimension, before it is blocked
    int64_t low = 0, high = 0;
    friend bool operator==(const Padding&, const Padding&) = default;
  };
  std::vector<int> order;  // empty: row-major
  std::vector<Block> blocks;
  std::vector<Padding> padding;  // empty, or one a dimension

  bool is_row_major() const { return order.empty() && blocks.empty() && padding.empty(); }
  friend bool operator==(const Layout&, const Layout&) = default;
};

Sizes physical_sizes(const Layout& layout, const Sizes& logical);

// "sim:1": a device kind and its ordinal. Kinds are the runtime's and the machine file's; nothing here knows one.
struct DeviceId {
  std::string kind;
  int ordinal = 0;
  std::string to_string() const;
  friend auto operator<=>(const DeviceId&, const DeviceId&) = default;
};
// Parses "cpu" (ordinal 0) or "sim:1"; Error with what was expected otherwise.
DeviceId parse_device(std::string_view text);

// How one mesh dimension holds a tensor.
struct Sharding {
  enum class Kind : uint8_t { replicated, split, partial_sum };
  Kind kind = Kind::replicated;
  int dim = 0;  // the tensor dimension that is split
  friend bool operator==(const Sharding&, const Sharding&) = default;
};

// Where a value lives: a mesh of devices and, for each mesh dimension, how it holds the tensor.
// No devices: not placed yet. One device is a mesh of one, whose mesh_sizes and shardings are empty.
struct Where {
  std::vector<DeviceId> devices;  // row-major over the mesh
  Sizes mesh_sizes;               // empty: one dimension of all the devices
  std::vector<Sharding> shardings;

  bool is_placed() const { return !devices.empty(); }
  bool is_single() const { return devices.size() == 1; }
  friend bool operator==(const Where&, const Where&) = default;
};

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  Layout layout;
  Where where;

  int rank() const { return static_cast<int>(shape.size()); }
  Sizes sizes() const;  // Error if a dimension is a symbol
  int64_t elements() const { return element_count(sizes()); }
  int64_t bytes() const;  // in memory: layout's padding and blocks included
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

// Sequences and optionals will be further alternatives. Copies share what they hold until one of them is changed.
// Construction and destruction are in type.cc: most files need some.
class Type {
 public:
  Type();
  Type(const Type&);
  Type(Type&&) noexcept;
  Type& operator=(const Type&);
  Type& operator=(Type&&) noexcept;
  ~Type();
  Type(TensorType tensor);  // implicit: a tensor type is a type
  Type(DType dtype, Shape shape);

  bool is_tensor() const { return std::holds_alternative<TensorType>(*value_); }
  const TensorType& tensor() const { return std::get<TensorType>(*value_); }
  // Of a tensor. What it holds already is not set anew: it stays shared.
  void set_dtype(DType dtype);
  void set_shape(Shape shape);
  void set_layout(Layout layout);
  void set_where(Where where);
  std::string to_string() const;
  friend bool operator==(const Type& a, const Type& b);

 private:
  template <typename T>
  void set(T TensorType::* member, T value);

  Shared<std::variant<TensorType>> value_;
};

}  // namespace placewright
