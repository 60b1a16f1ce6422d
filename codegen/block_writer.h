// Appends instructions to one block, each after the waits that it needs: for whatever other streams last did to the
// bytes that it reads or writes. Buffers that share an arena's bytes count as the same memory.
#pragma once

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
    Range range;
    bool writes;
    int stream, instruction;
  };
  std::map<int, std::vector<Touch>> touches_;  // by space
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
