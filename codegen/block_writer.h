// Appends instructions to one block, each after the waits that it needs: for whatever other streams last did to the
// bytes that it reads or writes. Buffers that share an arena's bytes count as the same memory.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "placewright/ir/program.h"

namespace placewright {

// Which instructions touched which bytes: what later ones on other streams have to wait for.
class Hazards {
 public:
  struct Range {
    int space = 0;  // an arena, or a buffer with memory of its own
    int64_t begin = 0, end = 0;
  };

  // Instruction numbers that `stream` must wait for before it touches the range, by stream.
  void collect(const Range& range, bool writes, int stream, std::map<int, int>& waits) const;
  void add(const Range& range, bool writes, int stream, int instruction);

 private:
  struct Touch {
    bool writes = false;
    int stream = 0, instruction = 0;
    friend bool operator==(const Touch&, const Touch&) = default;
  };
  // Bytes with the same past: the last write, and each stream's last read since.
  struct Cell {
    int64_t end = 0;
    std::vector<Touch> touches;
  };
  using Cells = std::map<int64_t, Cell>;  // by their first byte; they do not overlap

  static Cells::const_iterator first_behind(const Cells& cells, int64_t at);
  static void split(Cells& cells, int64_t at);
  static bool is_behind(const Touch& touch, bool writes, int stream, int instruction);

  std::map<int, Cells> spaces_;
};

class BlockWriter {
 public:
  // Buffers may be added to the program later; both must outlive the writer.
  BlockWriter(Block& block, const Program& program) : block_(block), program_(program) {}

  void add(Instruction instruction, int stream, std::span<const int> reads, std::span<const int> writes);
  // Each member answers for its own buffers: the executor orders the members' streams before and after it.
  void add_collective(Collective instruction);

 private:
  void wait(int stream, std::span<const int> reads, std::span<const int> writes);
  void note(int number, int stream, std::span<const int> reads, std::span<const int> writes);
  Hazards::Range range(int index) const;

  Block& block_;
  const Program& program_;
  Hazards hazards_;
  std::map<std::pair<int, int>, int> seen_;  // [stream, other]: instructions of the other one waited for
};

}  // namespace placewright
