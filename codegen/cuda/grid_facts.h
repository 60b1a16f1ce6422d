// What a strategy asks of a stage: how memory runs along its dimensions, and who would reduce along them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "placewright/ir/kernel.h"

namespace placewright {

constexpr int group_lanes = 256;           // threads of a group that work together
constexpr int threads_a_group = 256;       // where lanes do not say otherwise
constexpr int64_t enough_threads = 65536;  // to fill a device without lanes

// Elements that one iteration has of a held buffer, of whose first `shared` dimensions it has one index each.
int64_t held_elements(const KernelBuffer& buffer, size_t shared);

bool is_sequential(const Stage& stage, int dim);
bool has_sequential(const Stage& stage);

class GridFacts {
 public:
  GridFacts(const StructuredKernel& kernel, const Stage& stage) : kernel_(kernel), stage_(stage) {}

  std::vector<int> dims(bool reduced) const;
  int64_t points(const std::vector<int>& dims) const;
  // Elements of memory that one step along `dim` moves an access by; 0 where it is not affine.
  int64_t stride(const Access& access, int dim) const;
  // How many accesses move through memory element by element along the dimension.
  int runs(int dim) const;
  // Whether every store moves through memory element by element along the dimension, and none adds.
  bool writes_runs(int dim) const;
  // How many loads move element by element along `across`, and in larger steps along `along`.
  int64_t transposed_loads(int across, int along) const;
  // Elements that a thread takes at once along the dimension: a power of two that divides it, so that no access is cut.
  int64_t vector(int dim) const;
  // The dimension along which most stores write element by element; else the last of them.
  int fastest(const std::vector<int>& dims) const;
  // How many lanes join each row of the reduction, of those that its length is worth.
  int lanes_of_rows() const;

 private:
  const StructuredKernel& kernel_;
  const Stage& stage_;
};

// A reduction whose memory runs along its results: neighbouring lanes take neighbouring results, `width` of them, and
// as many rows of lanes as a group has take a piece of the reduced dimension each.
struct ColumnTiles {
  int column = -1, piece = -1;  // dimensions
  int64_t width = 1;
  int64_t rows() const { return group_lanes / width; }
  int64_t count = 0;  // of all results
};

// Nothing where rows are short, or results enough for a thread each.
std::optional<ColumnTiles> choose_column_tiles(const StructuredKernel& kernel, const Stage& stage);

}  // namespace placewright
