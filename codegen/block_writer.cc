#include "block_writer.h"

#include <algorithm>

namespace placewright {

void Hazards::collect(const Range& range, bool writes, int stream, std::map<int, int>& waits) const {
  auto space = touches_.find(range.space);
  if (space == touches_.end()) return;
  for (const Touch& touch : space->second)
    if (touch.stream != stream && (writes || touch.writes) && touch.range.begin < range.end &&
        range.begin < touch.range.end)
      waits[touch.stream] = std::max(waits.contains(touch.stream) ? waits[touch.stream] : -1, touch.instruction);
}

// Who comes behind a write of all that an earlier instruction touched waits for the write, which waited for that one.
void Hazards::add(const Range& range, bool writes, int stream, int instruction) {
  std::vector<Touch>& touches = touches_[range.space];
  if (writes)
    std::erase_if(touches, [&](const Touch& touch) {
      return touch.instruction < instruction && range.begin <= touch.range.begin && touch.range.end <= range.end;
    });
  touches.push_back({range, writes, stream, instruction});
}

void BlockWriter::add(Instruction instruction, int stream, std::span<const int> reads, std::span<const int> writes) {
  wait(stream, reads, writes);
  int number = static_cast<int>(block_.instructions.size());
  block_.instructions.push_back(std::move(instruction));
  note(number, stream, reads, writes);
}

void BlockWriter::add_collective(Collective instruction) {
  const Collective made = instruction;
  auto one = [](const int& buffer) { return std::span<const int>(&buffer, 1); };
  for (size_t m = 0; m < made.streams.size(); ++m)
    wait(made.streams[m], one(made.sources[m]), one(made.destinations[m]));
  int number = static_cast<int>(block_.instructions.size());
  block_.instructions.emplace_back(std::move(instruction));
  for (size_t m = 0; m < made.streams.size(); ++m)
    note(number, made.streams[m], one(made.sources[m]), one(made.destinations[m]));
}

void BlockWriter::wait(int stream, std::span<const int> reads, std::span<const int> writes) {
  std::map<int, int> waits;
  for (int buffer : reads) hazards_.collect(range(buffer), false, stream, waits);
  for (int buffer : writes) hazards_.collect(range(buffer), true, stream, waits);
  for (auto [other, number] : waits) {
    int& seen = seen_[{stream, other}];  // numbers are kept one higher: 0 is none
    if (seen > number) continue;
    seen = number + 1;
    block_.instructions.emplace_back(Wait{stream, number});
  }
}

void BlockWriter::note(int number, int stream, std::span<const int> reads, std::span<const int> writes) {
  if (program_.streams.size() == 1) return;
  for (int buffer : reads) hazards_.add(range(buffer), false, stream, number);
  for (int buffer : writes) hazards_.add(range(buffer), true, stream, number);
}

Hazards::Range BlockWriter::range(int index) const {
  index = memory_of(program_, index);
  const ProgramBuffer& buffer = program_.buffers[index];
  int64_t bytes = std::max<int64_t>(buffer.bytes, 1);
  if (buffer.kind == BufferKind::temporary && buffer.arena >= 0)
    return {-1 - buffer.arena, buffer.offset, buffer.offset + bytes};
  return {index, 0, bytes};
}

}  // namespace placewright
