#include "text_parts.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "placewright/base/error.h"

namespace placewright {
namespace {

int read_int(Lexer& lexer, std::string_view what) {
  size_t at = lexer.position();
  int64_t value = lexer.integer(what);
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max())
    lexer.fail_at(at, fmt::format("{} is out of range, expected {}", value, what));
  return static_cast<int>(value);
}

int read_dim(Lexer& lexer, size_t rank) {
  size_t at = lexer.position();
  int dim = read_int(lexer, "a dimension");
  if (dim < 0 || static_cast<size_t>(dim) >= rank)
    lexer.fail_at(at, fmt::format("dimension {} does not exist: there are {}", dim, rank));
  return dim;
}

}  // namespace

DeviceId read_device(Lexer& lexer) {
  DeviceId device{lexer.identifier("a device"), 0};
  lexer.expect(":");
  device.ordinal = read_int(lexer, "a device's ordinal");
  return device;
}

DType read_dtype(Lexer& lexer) {
  size_t at = lexer.position();
  std::string word = lexer.identifier("a dtype");
  std::optional<DType> dtype = try_parse_dtype(word);
  if (!dtype) lexer.fail_at(at, fmt::format("'{}' is no dtype", word));
  return *dtype;
}

Sizes read_sizes(Lexer& lexer) {
  Sizes sizes;
  lexer.expect("[");
  while (!lexer.accept("]")) {
    if (!sizes.empty()) lexer.expect(",");
    size_t at = lexer.position();
    sizes.push_back(lexer.integer("a size"));
    if (sizes.back() < 0) lexer.fail_at(at, "a size is never negative");
  }
  return sizes;
}

Layout read_layout(Lexer& lexer, size_t rank) {
  Layout layout;
  if (!lexer.accept("{")) return layout;
  while (!lexer.accept("}")) {
    if (lexer.accept("order")) {
      lexer.expect("=");
      do layout.order.push_back(read_dim(lexer, rank));
      while (lexer.accept(","));
    } else if (lexer.accept("block")) {
      lexer.expect("=");
      int dim = read_dim(lexer, rank);
      lexer.expect(":");
      size_t at = lexer.position();
      layout.blocks.push_back({dim, lexer.integer("a block's factor")});
      if (layout.blocks.back().factor < 1) lexer.fail_at(at, "a block's factor is at least 1");
    } else {
      lexer.expect("pad");
      lexer.expect("=");
      int dim = read_dim(lexer, rank);
      layout.padding.resize(rank);
      lexer.expect(":");
      layout.padding[dim].low = lexer.integer("padding");
      lexer.expect("..");
      size_t at = lexer.position();
      layout.padding[dim].high = lexer.integer("padding");
      if (layout.padding[dim].low < 0 || layout.padding[dim].high < 0) lexer.fail_at(at, "padding is never negative");
    }
  }
  if (!layout.order.empty()) {
    std::vector<bool> seen(rank);
    for (int dim : layout.order) seen[dim] = true;
    if (layout.order.size() != rank || std::find(seen.begin(), seen.end(), false) != seen.end())
      lexer.fail("an order that names every dimension once");
  }
  return layout;
}

std::vector<int> read_indices(Lexer& lexer) {
  std::vector<int> indices;
  lexer.expect("(");
  while (!lexer.accept(")")) {
    if (!indices.empty()) lexer.expect(",");
    indices.push_back(read_int(lexer, "an index"));
  }
  return indices;
}

std::string print_indices(const std::vector<int>& indices) { return fmt::format("({})", fmt::join(indices, ", ")); }

}  // namespace placewright
