#include "pack_memory.h"

#include <algorithm>

#include "arena.h"
#include "placewright/base/checked.h"

namespace placewright {
namespace {

// Largest first, each into the smallest gap that fits among those that live at the same time (Pisarchyk and Lee,
// "Efficient Memory Management for Deep Neural Net Inference", 2020: greedy by size).
class Packer {
 public:
  Packer(std::vector<PackedBuffer>& buffers, const std::vector<size_t>& largest_first, int64_t alignment)
      : buffers_(buffers), largest_first_(largest_first), alignment_(alignment) {}

  int64_t pack() {
    Arena arena(alignment_);
    int64_t bytes = 0;
    for (size_t number : largest_first_) {
      PackedBuffer& buffer = buffers_[number];
      buffer.offset = arena.place(buffer.first, buffer.last, buffer.bytes);
      bytes = std::max(bytes, checked_add(buffer.offset, buffer.bytes));
    }
    return round_up(bytes, alignment_);
  }

  // Where it stays within `most`, a gap that nothing else wants to have for a while.
  int64_t pack_calmly(int64_t most) {
    int64_t bytes = 0;
    for (size_t number : largest_first_) {
      PackedBuffer& buffer = buffers_[number];
      buffer.offset = find_gap(buffer, true);
      if (buffer.offset > most - buffer.bytes) buffer.offset = find_gap(buffer, false);
      const int64_t end = checked_add(buffer.offset, buffer.bytes);
      bytes = std::max(bytes, end);
      const Placed made{buffer.first,     buffer.last,   buffer.calm_first,
                        buffer.calm_last, buffer.offset, round_up(end, alignment_)};
      auto behind = [](const Placed& a, const Placed& b) { return a.offset < b.offset; };
      placed_.insert(std::upper_bound(placed_.begin(), placed_.end(), made, behind), made);
    }
    return round_up(bytes, alignment_);
  }

 private:
  // What the search for a gap reads of a buffer: it looks at every pair of them.
  struct Placed {
    int32_t first, last, calm_first, calm_last;
    int64_t offset, end;  // the end rounded up
  };

  static bool meet(const Placed& other, const PackedBuffer& buffer, bool calmly) {
    if (!calmly) return other.last >= buffer.first && buffer.last >= other.first;
    return (other.calm_last >= buffer.first && buffer.last >= other.calm_first) ||
           (other.last >= buffer.calm_first && buffer.calm_last >= other.first);
  }

  int64_t find_gap(const PackedBuffer& buffer, bool calmly) const {
    const int64_t tightest = round_up(buffer.bytes, alignment_);  // all offsets are multiples
    int64_t best = -1, best_size = 0, end = 0;
    for (const Placed& other : placed_) {
      if (!meet(other, buffer, calmly)) continue;
      int64_t gap = other.offset - end;
      if (gap >= buffer.bytes && (best < 0 || gap < best_size)) {
        best = end;
        best_size = gap;
        if (gap == tightest) break;
      }
      end = std::max(end, other.end);
    }
    return best >= 0 ? best : end;
  }

  std::vector<PackedBuffer>& buffers_;
  const std::vector<size_t>& largest_first_;
  int64_t alignment_;
  std::vector<Placed> placed_;  // by offset
};

}  // namespace

int64_t pack_memory(std::vector<PackedBuffer>& buffers, int64_t alignment) {
  std::vector<size_t> largest_first(buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) largest_first[i] = i;
  std::stable_sort(largest_first.begin(), largest_first.end(),
                   [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  const int64_t least = Packer(buffers, largest_first, alignment).pack();
  const bool is_calm = std::all_of(buffers.begin(), buffers.end(), [](const PackedBuffer& buffer) {
    return buffer.calm_first == buffer.first && buffer.calm_last == buffer.last;
  });
  constexpr size_t most_calm = 2048;  // every pair of them is looked at
  if (is_calm || buffers.size() > most_calm) return least;
  std::vector<PackedBuffer> calm = buffers;
  if (Packer(calm, largest_first, alignment).pack_calmly(least) <= least) buffers = std::move(calm);
  return least;
}

}  // namespace placewright
