#include "placewright/ir/parse_type.h"

#include <limits>

#include <fmt/core.h>

namespace placewright {
namespace {

int parse_dim_number(Lexer& lexer, int rank) {
  size_t at = lexer.position();
  int64_t dim = lexer.integer("a dimension number");
  if (dim < 0 || dim >= rank) lexer.fail_at(at, fmt::format("found dimension {}, expected 0 to {}", dim, rank - 1));
  return static_cast<int>(dim);
}

int64_t parse_size(Lexer& lexer, int64_t least) {
  size_t at = lexer.position();
  int64_t size = lexer.integer("a size");
  if (size < least) lexer.fail_at(at, fmt::format("found size {}, expected at least {}", size, least));
  return size;
}

Layout parse_layout(Lexer& lexer, int rank) {
  Layout layout;
  while (!lexer.accept("}")) {
    if (lexer.accept("order")) {
      lexer.expect("=");
      std::vector<bool> seen(static_cast<size_t>(rank));
      for (int i = 0; i < rank; ++i) {
        if (i > 0) lexer.expect(",");
        size_t at = lexer.position();
        int dim = parse_dim_number(lexer, rank);
        if (seen[dim]) lexer.fail_at(at, fmt::format("dimension {} stands twice in the order", dim));
        seen[dim] = true;
        layout.order.push_back(dim);
      }
    } else if (lexer.accept("block")) {
      lexer.expect("=");
      int dim = parse_dim_number(lexer, rank);
      lexer.expect(":");
      layout.blocks.push_back({dim, parse_size(lexer, 1)});
    } else if (lexer.accept("pad")) {
      lexer.expect("=");
      int dim = parse_dim_number(lexer, rank);
      lexer.expect(":");
      layout.padding.resize(static_cast<size_t>(rank));
      layout.padding[dim].low = parse_size(lexer, 0);
      lexer.expect("..");
      layout.padding[dim].high = parse_size(lexer, 0);
    } else {
      lexer.fail("order=, block=, pad= or }");
    }
  }
  return layout;
}

Sharding parse_sharding(Lexer& lexer, int rank) {
  if (lexer.accept("replicated")) return {};
  if (lexer.accept("partial_sum")) return {Sharding::Kind::partial_sum, 0};
  if (lexer.accept("split")) return {Sharding::Kind::split, parse_dim_number(lexer, rank)};
  lexer.fail("replicated, partial_sum or split");
}

Where parse_where(Lexer& lexer, int rank) {
  Where where;
  lexer.expect("[");
  do where.devices.push_back(parse_device(lexer));
  while (lexer.accept(","));
  lexer.expect("]");
  if (lexer.accept("(")) {
    int64_t product = 1;
    size_t at = lexer.position();
    do {
      where.mesh_sizes.push_back(parse_size(lexer, 1));
      if (__builtin_mul_overflow(product, where.mesh_sizes.back(), &product)) lexer.fail_at(at, "mesh is too large");
    } while (lexer.accept("x"));
    lexer.expect(")");
    if (product != static_cast<int64_t>(where.devices.size()))
      lexer.fail_at(at, fmt::format("mesh has {} places for {} devices", product, where.devices.size()));
  }
  if (lexer.accept("{")) {
    do where.shardings.push_back(parse_sharding(lexer, rank));
    while (lexer.accept(","));
    lexer.expect("}");
  }
  return where;
}

}  // namespace

DType parse_dtype(Lexer& lexer) {
  size_t at = lexer.position();
  std::string text = lexer.identifier("a dtype");
  if (std::optional<DType> dtype = try_parse_dtype(text)) return *dtype;
  lexer.fail_at(at, fmt::format("found '{}', expected a dtype such as f32", text));
}

Sizes parse_sizes(Lexer& lexer) {
  Sizes sizes;
  lexer.expect("[");
  if (lexer.accept("]")) return sizes;
  do sizes.push_back(lexer.integer());
  while (lexer.accept(","));
  lexer.expect("]");
  return sizes;
}

Shape parse_shape(Lexer& lexer) {
  Shape shape;
  lexer.expect("[");
  if (lexer.accept("]")) return shape;
  do {
    if (lexer.next_is_identifier()) {
      std::string symbol = lexer.identifier();
      lexer.expect("<=");
      shape.push_back(Dim::symbol(std::move(symbol), parse_size(lexer, 0)));
    } else {
      shape.emplace_back(parse_size(lexer, 0));
    }
  } while (lexer.accept(","));
  lexer.expect("]");
  return shape;
}

DeviceId parse_device(Lexer& lexer) {
  DeviceId device;
  device.kind = lexer.identifier("a device such as sim:0");
  lexer.expect(":");
  size_t at = lexer.position();
  int64_t ordinal = lexer.integer("a device's ordinal");
  if (ordinal < 0 || ordinal > std::numeric_limits<int>::max()) lexer.fail_at(at, "a device's ordinal is out of range");
  device.ordinal = static_cast<int>(ordinal);
  return device;
}

SourceSite parse_site(Lexer& lexer) {
  SourceSite site;
  site.file = lexer.string("a file name");
  lexer.expect(":");
  site.line = static_cast<int>(lexer.integer("a line number"));
  return site;
}

Type parse_type(Lexer& lexer) {
  const size_t at = lexer.position();
  TensorType type;
  type.dtype = parse_dtype(lexer);
  type.shape = parse_shape(lexer);
  if (lexer.accept("{")) type.layout = parse_layout(lexer, type.rank());
  if (lexer.accept("@")) type.where = parse_where(lexer, type.rank());
  int64_t bits = info(type.dtype).bits;
  for (const Dim& dim : type.shape)
    if (dim.bound() != 0 && __builtin_mul_overflow(bits, dim.bound(), &bits))
      lexer.fail_at(at, fmt::format("a tensor of {} takes more bytes than 64 bits count", Type(type).to_string()));
  return type;
}

}  // namespace placewright
