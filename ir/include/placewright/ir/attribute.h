// Attributes of an op: compile-time data under a name, kept sorted by name.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "placewright/base/shared.h"
#include "placewright/ir/host_tensor.h"
#include "placewright/ir/type.h"

namespace placewright {

// A Shape may hold symbols (which `specialise` binds); Sizes are plain numbers: dimensions, strides, paddings.
using Attribute = std::variant<bool, int64_t, double, std::string, DType, Sizes, Shape, HostTensor>;

class Attributes {
 public:
  // Copies and destruction are in attribute.cc: they branch over all that an Attribute can be, and most files need
  // them.
  Attributes();
  Attributes(const Attributes&);
  Attributes(Attributes&&) noexcept;
  Attributes& operator=(const Attributes&);
  Attributes& operator=(Attributes&&) noexcept;
  ~Attributes();
  Attributes(std::initializer_list<std::pair<std::string_view, Attribute>> entries);

  void set(std::string_view name, Attribute value);
  const Attribute* try_get(std::string_view name) const;  // null if absent
  bool has(std::string_view name) const { return try_get(name) != nullptr; }
  // The value of an attribute that the op's signature promises; a violated promise is a bug.
  template <typename T>
  const T& get(std::string_view name) const {
    const T* value = std::get_if<T>(try_get(name));
    if (!value) broken_promise(name);
    return *value;
  }
  auto begin() const { return entries_->begin(); }
  auto end() const { return entries_->end(); }
  bool empty() const { return entries_->empty(); }
  friend bool operator==(const Attributes& a, const Attributes& b);

 private:
  [[noreturn]] static void broken_promise(std::string_view name);

  using Entries = std::vector<std::pair<std::string, Attribute>>;
  Shared<Entries> entries_;  // copies share them until one is changed
};

bool same_attribute(const Attribute& a, const Attribute& b);  // tensors by their bytes, numbers by their bits

}  // namespace placewright
