#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "placewright/base/error.h"
#include "placewright/ir/program.h"

namespace placewright {
namespace {

class Verifier {
 public:
  explicit Verifier(const Program& program) : program_(program) {}

  void run() {
    for (const Arena& arena : program_.arenas) require(arena.bytes >= 0, "arena with negative size");
    for (size_t i = 0; i < program_.buffers.size(); ++i) verify_buffer(static_cast<int>(i));
    verify_signature();
    where_ = "program";
    require(has_block(program_.step), fmt::format("step block {} does not exist", program_.step));
    require(program_.load == -1 || has_block(program_.load),
            fmt::format("load block {} does not exist", program_.load));
    require(program_.load != program_.step, "one block is both load and step");
    for (size_t b = 0; b < program_.blocks.size(); ++b) {
      block_ = static_cast<int>(b);
      for (number_ = 0; number_ < static_cast<int>(program_.blocks[b].instructions.size()); ++number_) {
        where_ = fmt::format("block {} instruction {}", b, number_);
        std::visit([&](const auto& instruction) { verify(instruction); }, program_.blocks[b].instructions[number_]);
      }
    }
    verify_nesting();
  }

 private:
  void require(bool holds, const std::string& message) const {
    if (!holds) throw Error(fmt::format("program {}, {}: {}", program_.name, where_, message));
  }
  bool has_block(int block) const { return block >= 0 && block < static_cast<int>(program_.blocks.size()); }
  const ProgramBuffer& buffer(int index) const {
    require(index >= 0 && index < static_cast<int>(program_.buffers.size()),
            fmt::format("buffer {} does not exist: there are {}", index, program_.buffers.size()));
    return program_.buffers[index];
  }
  const DeviceId& device_of(int stream) const {
    require(stream >= 0 && stream < static_cast<int>(program_.streams.size()),
            fmt::format("stream {} does not exist: there are {}", stream, program_.streams.size()));
    return program_.streams[stream].device;
  }
  void require_writable(int index) const {
    buffer(index);
    index = memory_of(program_, index);
    BufferKind kind = buffer(index).kind;
    bool loads = block_ == program_.load;
    require(kind == BufferKind::temporary || kind == BufferKind::result || kind == BufferKind::state ||
                (kind == BufferKind::constant && loads),
            fmt::format("buffer {} ({} {}) is only read, but written here", index, name(kind), buffer(index).name));
    if (kind != BufferKind::state || loads) return;
    bool updated = std::any_of(program_.updates.begin(), program_.updates.end(),
                               [&](const StateUpdate& update) { return update.state == index; });
    require(updated, fmt::format("state {} is written, but no update says so", buffer(index).name));
  }

  void verify_buffer(int index) {
    const ProgramBuffer& b = program_.buffers[index];
    where_ = fmt::format("buffer {}", index);
    require(b.alignment > 0 && (b.alignment & (b.alignment - 1)) == 0 && b.alignment <= 4096,
            fmt::format("alignment {} is no power of two up to 4096", b.alignment));
    require(b.layout.order.empty() || b.layout.order.size() == b.sizes.size(), "layout of another rank");
    require(b.layout.padding.empty() || b.layout.padding.size() == b.sizes.size(), "layout of another rank");
    for (int64_t size : b.sizes) require(size >= 0, "negative size");
    int64_t expected = byte_size(b.dtype, element_count(physical_sizes(b.layout, b.sizes)));
    require(b.bytes == expected, fmt::format("{} bytes, but its type takes {}", b.bytes, expected));
    require((b.kind == BufferKind::view) == (b.view_of != -1), "a view, and nothing else, is of another buffer");
    if (b.kind == BufferKind::view) {
      require(b.arena == -1, "only temporaries stand in an arena");
      verify_view(b, index);
    } else if (b.kind != BufferKind::temporary) {
      require(b.arena == -1, "only temporaries stand in an arena");
      require(!b.name.empty(), fmt::format("{} without a name", name(b.kind)));
    } else if (b.arena != -1) {
      require(b.arena >= 0 && b.arena < static_cast<int>(program_.arenas.size()),
              fmt::format("arena {} does not exist", b.arena));
      const Arena& arena = program_.arenas[b.arena];
      require(arena.device == b.device, "arena of another device");
      require(b.offset >= 0 && b.offset % b.alignment == 0,
              fmt::format("offset {} is not a multiple of {}", b.offset, b.alignment));
      require(checked_add(b.offset, b.bytes) <= arena.bytes,
              fmt::format("ends at {}, its arena has {} bytes", b.offset + b.bytes, arena.bytes));
    }
  }

  void verify_view(const ProgramBuffer& b, int index) const {
    require(b.view_of >= 0 && b.view_of < index, fmt::format("buffer {} is no earlier one", b.view_of));
    const ProgramBuffer& memory = program_.buffers[static_cast<size_t>(b.view_of)];
    require(memory.kind != BufferKind::view, fmt::format("buffer {} is a view itself", b.view_of));
    require(b.device == memory.device, "a view on another device than its memory");
    require(b.alignment <= memory.alignment, "a view of a stricter alignment than its memory");
    require(b.bytes == memory.bytes, fmt::format("{} bytes, but its memory has {}", b.bytes, memory.bytes));
    bool row_major = b.layout.is_row_major() && memory.layout.is_row_major();
    require(row_major || (b.layout == memory.layout && b.sizes == memory.sizes), "a view of another layout");
  }

  void verify_signature() {
    where_ = "signature";
    auto verify_list = [&](const std::vector<int>& list, BufferKind kind) {
      std::vector<bool> seen(program_.buffers.size());
      for (int index : list) {
        require(buffer(index).kind == kind, fmt::format("buffer {} is no {}", index, name(kind)));
        require(!seen[index], fmt::format("buffer {} is listed twice", index));
        seen[index] = true;
      }
      for (size_t i = 0; i < program_.buffers.size(); ++i)
        require(program_.buffers[i].kind != kind || seen[i], fmt::format("{} {} is not listed", name(kind), i));
    };
    verify_list(program_.arguments, BufferKind::argument);
    verify_list(program_.results, BufferKind::result);
    for (const StateUpdate& update : program_.updates) {
      require(buffer(update.state).kind == BufferKind::state, fmt::format("buffer {} is no state", update.state));
      require_alike(update.value, update.state);
      require(buffer(update.value).device == buffer(update.state).device,
              "a state is updated from its own device only");
    }
  }

  void require_alike(int a, int b) const {
    const ProgramBuffer& x = buffer(a);
    const ProgramBuffer& y = buffer(b);
    auto text = [](const ProgramBuffer& made) {
      return Type(TensorType{made.dtype, Shape(made.sizes.begin(), made.sizes.end()), made.layout, {}}).to_string();
    };
    require(x.dtype == y.dtype && x.sizes == y.sizes && x.layout == y.layout,
            fmt::format("buffer {} is {}, buffer {} is {}: expected the same type", a, text(x), b, text(y)));
  }

  void verify(const Allocate& i) {
    require(buffer(i.buffer).kind == BufferKind::temporary && buffer(i.buffer).arena == -1,
            fmt::format("buffer {} has a place already", i.buffer));
    require(device_of(i.stream) == buffer(i.buffer).device, "buffer and stream are of different devices");
    require(block_ != program_.load, "nothing is allocated at load");
  }

  void verify(const Launch& i) {
    const DeviceId& device = device_of(i.stream);
    require(i.image >= 0, "no image");
    require(i.written >= 1 && i.written <= static_cast<int>(i.buffers.size()),
            fmt::format("{} of {} buffers written", i.written, i.buffers.size()));
    for (size_t k = 0; k < i.buffers.size(); ++k) {
      require(buffer(i.buffers[k]).device == device,
              fmt::format("kernel {} runs on {}, but buffer {} is on {}: a copy is missing", i.entry,
                          device.to_string(), i.buffers[k], buffer(i.buffers[k]).device.to_string()));
      if (k + i.written >= i.buffers.size()) require_writable(i.buffers[k]);
    }
  }

  void verify(const Copy& i) {
    const ProgramBuffer& to = buffer(i.destination);
    const DeviceId& device = device_of(i.stream);
    require_writable(i.destination);
    const DeviceId& from = i.source == -1 ? i.facts.from : buffer(i.source).device;
    if (i.source == -1)
      require(block_ == program_.load && (to.kind == BufferKind::constant || to.kind == BufferKind::state),
              "only constants and states are given, and only at load");
    else
      require_alike(i.source, i.destination);
    require(from == i.facts.from && to.device == i.facts.to, "the facts name other devices");
    require(i.facts.bytes == (from == to.device ? 0 : to.bytes),
            fmt::format("the facts say {} bytes, the buffer has {}", i.facts.bytes, to.bytes));
    require(device == from || device == to.device, "the stream belongs to neither device");
  }

  void verify(const Wait& i) {
    device_of(i.stream);
    require(i.instruction >= 0 && i.instruction < number_,
            fmt::format("waits for instruction {}, which is not an earlier one", i.instruction));
    const Instruction& target = program_.blocks[block_].instructions[i.instruction];
    require(std::holds_alternative<Launch>(target) || std::holds_alternative<Copy>(target) ||
                std::holds_alternative<Collective>(target),
            "waits for an instruction that is no launch, copy or collective");
  }

  void verify(const Collective& i) {
    size_t members = i.streams.size();
    require(members >= 2, "a collective of fewer than two members");
    require(i.sources.size() == members && i.destinations.size() == members, "members differ in number");
    for (size_t m = 0; m < members; ++m) {
      require(buffer(i.sources[m]).device == device_of(i.streams[m]), "source and stream are of different devices");
      require(buffer(i.destinations[m]).device == device_of(i.streams[m]),
              "destination and stream are of different devices");
      require_alike(i.sources[m], i.sources[0]);
      require_alike(i.destinations[m], i.sources[0]);
      require_writable(i.destinations[m]);
    }
    const ProgramBuffer& first = buffer(i.sources[0]);
    require(first.dtype == DType::f32 || first.dtype == DType::f64 || first.dtype == DType::i32 ||
                first.dtype == DType::i64,
            fmt::format("all_reduce of {}, expected f32, f64, i32 or i64", name(first.dtype)));
    require_alike(i.scratch, i.sources[0]);
    require(buffer(i.scratch).device == first.device, "the scratch is not on the first member's device");
    require_writable(i.scratch);
    int64_t crossings = 0;
    for (size_t m = 1; m < members; ++m) crossings += buffer(i.sources[m]).device == first.device ? 0 : 2;
    require(i.facts.bytes == checked_mul(crossings, first.bytes),
            fmt::format("the facts say {} bytes, the members move {}", i.facts.bytes, crossings * first.bytes));
  }

  void verify(const Call& i) { require(has_block(i.block), "called block does not exist"); }
  void require_condition(int index) const {
    require(buffer(index).dtype == DType::boolean && buffer(index).bytes == 1, "a condition is a boolean scalar");
  }
  void verify(const Branch& i) {
    require_condition(i.condition);
    require(has_block(i.then_block) && (i.else_block == -1 || has_block(i.else_block)),
            "a branch's block does not exist");
  }
  void verify(const Repeat& i) {
    require(has_block(i.block), "repeated block does not exist");
    require(i.count >= -1, "negative count");
    if (i.count == -1) require_condition(i.condition);
  }

  // Depth-first over the blocks that a block runs: one met again while still open contains itself.
  void verify_nesting() {
    enum class Mark : uint8_t { unseen, open, done };
    std::vector<Mark> marks(program_.blocks.size(), Mark::unseen);
    auto visit = [&](auto& self, int block) -> void {
      if (block < 0 || marks[block] == Mark::done) return;
      where_ = fmt::format("block {}", block);
      require(marks[block] != Mark::open, "the block contains itself");
      marks[block] = Mark::open;
      for (const Instruction& instruction : program_.blocks[block].instructions) {
        if (const Call* call = std::get_if<Call>(&instruction)) self(self, call->block);
        if (const Repeat* repeat = std::get_if<Repeat>(&instruction)) self(self, repeat->block);
        if (const Branch* branch = std::get_if<Branch>(&instruction)) {
          self(self, branch->then_block);
          self(self, branch->else_block);
        }
      }
      marks[block] = Mark::done;
    };
    for (size_t block = 0; block < program_.blocks.size(); ++block) visit(visit, static_cast<int>(block));
  }

  const Program& program_;
  std::string where_ = "program";
  int block_ = 0;
  int number_ = 0;
};

}  // namespace

void verify_program(const Program& program) { Verifier(program).run(); }

}  // namespace placewright
