#include "placewright/runtime/layout_copy.h"

#include <cstring>

#include "placewright/base/checked.h"

namespace placewright {
namespace {

// For each dimension and each index in it, what it adds to the element's physical position: a layout is a sum of these.
std::vector<std::vector<int64_t>> position_parts(const Layout& layout, const Sizes& sizes) {
  Sizes strides = row_major_strides(physical_sizes(layout, sizes));
  std::vector<std::vector<int64_t>> parts(sizes.size());
  for (size_t dim = 0; dim < sizes.size(); ++dim) {
    size_t outer = dim;
    for (size_t i = 0; i < layout.order.size(); ++i)
      if (layout.order[i] == static_cast<int>(dim)) outer = i;
    for (int64_t index = 0; index < sizes[dim]; ++index) {
      int64_t left = index + (layout.padding.empty() ? 0 : layout.padding[dim].low), part = 0;
      for (size_t k = 0; k < layout.blocks.size(); ++k) {
        if (layout.blocks[k].dim != static_cast<int>(dim)) continue;
        part += left % layout.blocks[k].factor * strides[sizes.size() + k];
        left /= layout.blocks[k].factor;
      }
      parts[dim].push_back(part + left * strides[outer]);
    }
  }
  return parts;
}

// Calls visit(logical position, physical position) for every element.
template <typename Visit>
void for_each_element(const Layout& layout, const Sizes& sizes, Visit visit) {
  auto parts = position_parts(layout, sizes);
  int64_t position = 0;
  auto descend = [&](auto& self, size_t dim, int64_t physical) -> void {
    if (dim == sizes.size()) return visit(position++, physical);
    for (int64_t part : parts[dim]) self(self, dim + 1, physical + part);
  };
  descend(descend, 0, 0);
}

int64_t element_bytes(DType dtype) {
  PW_CHECK(info(dtype).bits % 8 == 0, "a layout of elements that are no whole bytes");
  return info(dtype).bits / 8;
}

}  // namespace

void write_physical(const HostTensor& logical, const Layout& layout, uint8_t* bytes) {
  if (logical.elements() == 0) return;  // an empty buffer may have no address
  if (layout.is_row_major()) {
    std::memcpy(bytes, logical.raw(), static_cast<size_t>(logical.bytes()));
    return;
  }
  int64_t element = element_bytes(logical.dtype());
  int64_t total = element_count(physical_sizes(layout, logical.sizes())) * element;
  std::memset(bytes, 0, static_cast<size_t>(total));
  for_each_element(layout, logical.sizes(), [&](int64_t from, int64_t to) {
    std::memcpy(bytes + to * element, logical.raw() + from * element, static_cast<size_t>(element));
  });
}

HostTensor read_physical(DType dtype, const Sizes& sizes, const Layout& layout, const uint8_t* bytes) {
  HostTensor logical(dtype, sizes);
  if (logical.elements() == 0) return logical;
  if (layout.is_row_major()) {
    std::memcpy(logical.raw(), bytes, static_cast<size_t>(logical.bytes()));
    return logical;
  }
  int64_t element = element_bytes(dtype);
  for_each_element(layout, sizes, [&](int64_t to, int64_t from) {
    std::memcpy(logical.raw() + to * element, bytes + from * element, static_cast<size_t>(element));
  });
  return logical;
}

}  // namespace placewright
