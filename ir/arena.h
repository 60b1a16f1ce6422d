// Where storages stand in a device's memory of temporaries. Internal to ir.
#pragma once

#include <cstdint>
#include <vector>

namespace placewright {

// Each storage goes into the smallest gap that it fits into among those that live at the same time, the lowest of equal
// ones. Storages that stand next to each other are kept in runs of limited length. When at some time of a life the
// storages of a run leave nothing free between them, no gap is there for all of that life either, and the run is passed
// over: most are, so that the search takes far less than the number of storages.
class Arena {
 public:
  // Offsets, and the sizes that are taken, are multiples of it.
  explicit Arena(int64_t alignment) : alignment_(alignment) {}

  // The offset of a storage that lives from op `first` to op `last`.
  int64_t place(int32_t first, int32_t last, int64_t bytes);

 private:
  struct Placed {
    int32_t first, last;
    int64_t offset, end;
  };
  struct Life {
    int32_t first, last;
  };
  class Run {
   public:
    const std::vector<Placed>& placed() const { return placed_; }
    int64_t begin() const { return placed_.front().offset; }
    int64_t end() const { return end_; }
    void add(const Placed& made);
    Run split();  // its upper half
    // Whether one of them lives then.
    bool is_used(const Life& life) const { return first_ <= life.last && life.first <= last_; }
    // Whether it is known that at some time of the life nothing is free between begin and end.
    bool is_full(const Life& life);

   private:
    void note(const Placed& made);
    void find_full_times();

    std::vector<Placed> placed_;  // by offset
    int64_t end_ = 0;
    int32_t first_ = 0, last_ = -1;
    std::vector<Life> full_times_;  // ascending
    int questions_ = 0;             // since it grew; the answer is looked for once it seems to have stopped growing
  };

  std::vector<Run> runs_;  // by offset; none is empty
  int64_t alignment_;
};

}  // namespace placewright
