#include "block_writer.h"

#include <algorithm>
#include <iterator>

namespace placewright {

Hazards::Cells::const_iterator Hazards::first_behind(const Cells& cells, int64_t at) {
  auto cell = cells.upper_bound(at);
  return cell != cells.begin() && std::prev(cell)->second.end > at ? std::prev(cell) : cell;
}

void Hazards::collect(const Range& range, bool writes, int stream, std::map<int, int>& waits) const {
  auto space = spaces_.find(range.space);
  if (space == spaces_.end()) return;
  const Cells& cells = space->second;
  for (auto cell = first_behind(cells, range.begin); cell != cells.end() && cell->first < range.end; ++cell)
    for (const Touch& touch : cell->second.touches) {
      if (touch.stream == stream || !(writes || touch.writes)) continue;
      int& last = waits.try_emplace(touch.stream, touch.instruction).first->second;
      last = std::max(last, touch.instruction);
    }
}

// A cell that holds the byte before and the byte at `at` becomes two.
void Hazards::split(Cells& cells, int64_t at) {
  auto cell = cells.lower_bound(at);
  if (cell == cells.begin()) return;
  Cell& before = std::prev(cell)->second;
  if (before.end <= at) return;
  cells.emplace_hint(cell, at, before);
  before.end = at;
}

void Hazards::add(const Range& range, bool writes, int stream, int instruction) {
  if (range.begin >= range.end) return;
  Cells& cells = spaces_[range.space];
  split(cells, range.begin);
  split(cells, range.end);
  auto before = cells.end();
  auto cell = cells.lower_bound(range.begin);
  for (int64_t at = range.begin; at < range.end; at = before->second.end) {
    if (cell == cells.end() || cell->first > at)
      cell = cells.emplace_hint(cell, at, Cell{cell == cells.end() ? range.end : std::min(cell->first, range.end), {}});
    std::vector<Touch>& touches = cell->second.touches;
    std::erase_if(touches, [&](const Touch& touch) { return is_behind(touch, writes, stream, instruction); });
    touches.push_back({writes, stream, instruction});
    if (before != cells.end() && before->second.touches == touches) {
      before->second.end = cell->second.end;
      cell = cells.erase(cell);
    } else {
      before = cell++;
    }
  }
}

// Who waits for a write has waited for all that the write waited for, and who waits for a stream's last read for those
// before it. Members of one collective do not wait for each other.
bool Hazards::is_behind(const Touch& touch, bool writes, int stream, int instruction) {
  if (writes) return touch.instruction < instruction || touch.stream == stream;
  return touch.stream == stream && !touch.writes;
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
