#include "placewright/ir/check_program.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/error.h"

namespace placewright {
namespace {

// For each stream, how many of its instructions are known to be complete.
using Clock = std::vector<int64_t>;

struct Touch {
  int stream = 0;
  int64_t tick = 0;  // on that stream
  bool is_write = false;
};

// What is known of a buffer while the program is replayed.
struct Holding {
  bool valid = false;
  DType dtype = DType::f32;    // of what was written last
  std::string overwritten;     // who wrote over it last
  std::vector<Touch> touches;  // the last one, or the last write and the reads since
};

bool overlap(const ProgramBuffer& a, const ProgramBuffer& b) {
  return a.arena >= 0 && a.arena == b.arena && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
}

class Replay {
 public:
  explicit Replay(const Program& program)
      : program_(program),
        clocks_(program.streams.size(), Clock(program.streams.size())),
        rivals_(program.buffers.size()),
        holdings_(program.buffers.size()) {
    for (size_t a = 0; a < program.buffers.size(); ++a)
      for (size_t b = 0; b < program.buffers.size(); ++b)
        if (a != b && overlap(program.buffers[a], program.buffers[b])) rivals_[a].push_back(static_cast<int>(b));
  }

  void run() {
    for (size_t i = 0; i < program_.buffers.size(); ++i) {
      BufferKind kind = program_.buffers[i].kind;
      holdings_[i].dtype = program_.buffers[i].dtype;
      holdings_[i].valid = kind == BufferKind::argument || kind == BufferKind::state || kind == BufferKind::constant;
    }
    if (program_.load >= 0) {
      run_block(program_.load);
      for (Holding& holding : holdings_) holding.touches.clear();
      // Only what outlives the load may be used by the step.
      for (size_t i = 0; i < program_.buffers.size(); ++i)
        if (program_.buffers[i].kind == BufferKind::temporary || program_.buffers[i].kind == BufferKind::result)
          holdings_[i] = Holding{};
    }
    run_block(program_.step);
    where_ = "the end";
    for (int result : program_.results) require_valid(result);
    for (const StateUpdate& update : program_.updates) require_valid(update.value);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw Error(fmt::format("program {}, {}: {}", program_.name, where_, message));
  }

  std::string describe(int buffer) const {
    const ProgramBuffer& b = program_.buffers[static_cast<size_t>(buffer)];
    return b.name.empty() ? fmt::format("buffer {}", buffer) : fmt::format("buffer {} ({})", buffer, b.name);
  }

  Holding& holding_of(int buffer) { return holdings_[static_cast<size_t>(memory_of(program_, buffer))]; }
  const Holding& holding_of(int buffer) const { return holdings_[static_cast<size_t>(memory_of(program_, buffer))]; }

  void require_valid(int buffer) const {
    const Holding& holding = holding_of(buffer);
    DType dtype = program_.buffers[static_cast<size_t>(buffer)].dtype;
    if (holding.valid && holding.dtype == dtype) return;
    if (holding.valid)
      fail(
          fmt::format("{} is read as {}, but {} was written last", describe(buffer), name(dtype), name(holding.dtype)));
    if (holding.overwritten.empty()) fail(describe(buffer) + " is read before anything wrote it");
    fail(fmt::format("{} is read, but {}", describe(buffer), holding.overwritten));
  }

  void require_ordered(int buffer, int stream, bool is_write, const std::vector<Touch>& touches) const {
    for (const Touch& touch : touches) {
      if (!is_write && !touch.is_write) continue;
      if (clocks_[static_cast<size_t>(stream)][static_cast<size_t>(touch.stream)] >= touch.tick) continue;
      fail(fmt::format("{} is used by streams {} and {} with no wait between them", describe(buffer), touch.stream,
                       stream));
    }
  }

  void read(int buffer, int stream) {
    require_valid(buffer);
    require_ordered(buffer, stream, false, holding_of(buffer).touches);
    note(buffer, stream, false);
  }

  void write(int buffer, int stream) {
    require_ordered(buffer, stream, true, holding_of(buffer).touches);
    for (int rival : rivals_[static_cast<size_t>(memory_of(program_, buffer))]) {
      Holding& other = holdings_[static_cast<size_t>(rival)];
      require_ordered(rival, stream, true, other.touches);
      if (other.valid) other.overwritten = fmt::format("{} wrote {} over it", where_, describe(buffer));
      other.valid = false;
    }
    holding_of(buffer).valid = true;
    holding_of(buffer).dtype = program_.buffers[static_cast<size_t>(buffer)].dtype;
    note(buffer, stream, true);
  }

  void note(int buffer, int stream, bool is_write) {
    std::vector<Touch>& touches = holding_of(buffer).touches;
    // Earlier ones are ordered before this write, so whoever is behind it is behind them.
    if (is_write) touches.clear();
    touches.push_back({stream, clocks_[static_cast<size_t>(stream)][static_cast<size_t>(stream)], is_write});
  }

  void tick(int stream) { ++clocks_[static_cast<size_t>(stream)][static_cast<size_t>(stream)]; }

  void merge(Clock& into, const Clock& from) {
    for (size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], from[i]);
  }

  void join() {
    Clock all(clocks_.size());
    for (const Clock& clock : clocks_) merge(all, clock);
    for (Clock& clock : clocks_) clock = all;
  }

  void run_block(int block) {
    const std::vector<Instruction>& instructions = program_.blocks[static_cast<size_t>(block)].instructions;
    std::vector<Clock> done(instructions.size());
    for (size_t i = 0; i < instructions.size(); ++i) {
      where_ = fmt::format("block {} instruction {}", block, i);
      if (const Wait* wait = std::get_if<Wait>(&instructions[i]))
        merge(clocks_[static_cast<size_t>(wait->stream)], done[static_cast<size_t>(wait->instruction)]);
      else
        done[i] = std::visit([&](const auto& instruction) { return run(instruction); }, instructions[i]);
    }
  }

  Clock run(const Launch& launch) {
    size_t reads = launch.buffers.size() - static_cast<size_t>(launch.written);
    tick(launch.stream);
    for (size_t i = 0; i < reads; ++i) read(launch.buffers[i], launch.stream);
    for (size_t k = reads; k < launch.buffers.size(); ++k) {
      for (size_t i = 0; i < k; ++i) require_no_partial_overlap(launch.buffers[i], launch.buffers[k], i >= reads);
      write(launch.buffers[k], launch.stream);
    }
    return clocks_[static_cast<size_t>(launch.stream)];
  }

  const ProgramBuffer& memory(int buffer) const {
    return program_.buffers[static_cast<size_t>(memory_of(program_, buffer))];
  }

  void require_no_partial_overlap(int other, int written, bool both_written) const {
    const ProgramBuffer &a = memory(other), &b = memory(written);
    if (&a == &b ? both_written : overlap(a, b) && (both_written || a.offset != b.offset || a.bytes != b.bytes))
      fail(fmt::format("{} is written over a part of {}, which the same launch uses", describe(written),
                       describe(other)));
  }

  Clock run(const Copy& copy) {
    tick(copy.stream);
    if (copy.source >= 0) {
      read(copy.source, copy.stream);
      if (memory_of(program_, copy.source) == memory_of(program_, copy.destination) ||
          overlap(memory(copy.source), memory(copy.destination)))
        fail("a copy between overlapping buffers");
    }
    write(copy.destination, copy.stream);
    return clocks_[static_cast<size_t>(copy.stream)];
  }

  Clock run(const Collective& collective) {
    Clock together(clocks_.size());
    for (int stream : collective.streams) {
      tick(stream);
      merge(together, clocks_[static_cast<size_t>(stream)]);
    }
    for (int stream : collective.streams) clocks_[static_cast<size_t>(stream)] = together;
    for (size_t m = 0; m < collective.streams.size(); ++m) read(collective.sources[m], collective.streams[m]);
    write(collective.scratch, collective.streams[0]);
    for (size_t m = 0; m < collective.streams.size(); ++m) {
      // A scratch or an earlier destination over a source that is still to be read.
      require_valid(collective.sources[m]);
    }
    for (size_t m = 0; m < collective.streams.size(); ++m) write(collective.destinations[m], collective.streams[m]);
    return together;
  }

  Clock run(const Allocate& allocate) {
    holding_of(allocate.buffer) = Holding{};
    return clocks_[static_cast<size_t>(allocate.stream)];
  }

  Clock run(const Wait&) { return {}; }

  Clock run(const Call& call) {
    join();
    run_block(call.block);
    join();
    return {};
  }

  Clock run(const Branch& branch) {
    join();
    require_valid(branch.condition);
    std::vector<Holding> before = holdings_;
    run_block(branch.then_block);
    join();
    std::vector<Holding> other = before;
    std::swap(other, holdings_);
    if (branch.else_block >= 0) run_block(branch.else_block);
    join();
    for (size_t i = 0; i < holdings_.size(); ++i) {
      if (holdings_[i].valid && !other[i].valid) holdings_[i].overwritten = other[i].overwritten;
      holdings_[i].valid = holdings_[i].valid && other[i].valid;
    }
    return {};
  }

  // Twice, so that what a round leaves destroyed is found by the next; and a repeat may run no round at all.
  Clock run(const Repeat& repeat) {
    join();
    if (repeat.count == 0) return {};
    std::vector<Holding> before = holdings_;
    for (int round = 0; round < (repeat.count == 1 ? 1 : 2); ++round) {
      if (repeat.count < 0) require_valid(repeat.condition);
      run_block(repeat.block);
      join();
    }
    for (size_t i = 0; repeat.count < 0 && i < holdings_.size(); ++i)
      holdings_[i].valid = holdings_[i].valid && before[i].valid;
    return {};
  }

  const Program& program_;
  std::vector<Clock> clocks_;
  std::vector<std::vector<int>> rivals_;  // of each buffer: those that share bytes with it
  std::vector<Holding> holdings_;
  std::string where_;
};

}  // namespace

void check_program(const Program& program) { Replay(program).run(); }

}  // namespace placewright
