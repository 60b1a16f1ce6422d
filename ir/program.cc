#include "placewright/ir/program.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/parse_type.h"

namespace placewright {
namespace {

constexpr std::string_view kind_names[] = {"argument", "state", "constant", "temporary", "result", "view"};

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};

std::string print_indices(const std::vector<int>& indices) { return fmt::format("({})", join(indices, ", ")); }

std::string print_facts(const TransferFacts& facts) {
  return fmt::format("{} -> {} bytes {} value {} origin {} cause {}", facts.from.to_string(), facts.to.to_string(),
                     facts.bytes, quote(facts.value), quote(facts.origin), quote(facts.cause));
}

std::string print(const Instruction& instruction) {
  return std::visit(
      Overloaded{
          [](const Allocate& i) { return fmt::format("allocate stream {} {}", i.stream, i.buffer); },
          [](const Launch& i) {
            return fmt::format(
                "launch stream {} image {} entry {} {} written {} scalars ({}) flops {} bytes {} origin {}", i.stream,
                i.image, quote(i.entry), print_indices(i.buffers), i.written, join(i.scalars, ", "), i.flops, i.bytes,
                quote(i.origin));
          },
          [](const Copy& i) {
            std::string source = i.source < 0 ? "given" : std::to_string(i.source);
            return fmt::format("copy stream {} {} to {} {}", i.stream, source, i.destination, print_facts(i.facts));
          },
          [](const Wait& i) { return fmt::format("wait stream {} for {}", i.stream, i.instruction); },
          [](const Collective& i) {
            return fmt::format("all_reduce streams {} sources {} destinations {} scratch {} {}",
                               print_indices(i.streams), print_indices(i.sources), print_indices(i.destinations),
                               i.scratch, print_facts(i.facts));
          },
          [](const Call& i) { return fmt::format("call {}", i.block); },
          [](const Branch& i) {
            return fmt::format("branch {} then {} else {}", i.condition, i.then_block, i.else_block);
          },
          [](const Repeat& i) {
            return i.count < 0 ? fmt::format("repeat {} while {}", i.block, i.condition)
                               : fmt::format("repeat {} times {}", i.block, i.count);
          },
      },
      instruction);
}

std::string print(const ProgramBuffer& buffer) {
  std::string type =
      Type(TensorType{buffer.dtype, Shape(buffer.sizes.begin(), buffer.sizes.end()), buffer.layout, {}}).to_string();
  std::string place = buffer.arena < 0 ? "" : fmt::format(" arena {} offset {}", buffer.arena, buffer.offset);
  if (buffer.view_of >= 0) place += fmt::format(" of {}", buffer.view_of);
  return fmt::format("{} {} {} bytes {} align {}{} {}", name(buffer.kind), buffer.device.to_string(), type,
                     buffer.bytes, buffer.alignment, place, quote(buffer.name));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text, "program") {}

  Program parse() {
    lexer_.expect("program");
    program_.name = lexer_.string("the program's name");
    lexer_.expect("{");
    while (!lexer_.accept("}")) parse_item();
    if (!lexer_.at_end()) lexer_.fail("the end");
    return std::move(program_);
  }

 private:
  int index(std::string_view what) {
    size_t at = lexer_.position();
    int64_t value = lexer_.integer(what);
    if (value < -1 || value > INT32_MAX) lexer_.fail_at(at, fmt::format("{} is no {}", value, what));
    return static_cast<int>(value);
  }

  std::vector<int> indices() {
    std::vector<int> list;
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      if (!list.empty()) lexer_.expect(",");
      list.push_back(index("an index"));
    }
    return list;
  }

  // `what N`, where N is the number of those before.
  template <typename T>
  T& next_of(std::vector<T>& list, std::string_view what) {
    size_t at = lexer_.position();
    int64_t number = lexer_.integer("a number");
    if (number != static_cast<int64_t>(list.size()))
      lexer_.fail_at(at,
                     fmt::format("found {} {}, expected {}: they are numbered in order", what, number, list.size()));
    return list.emplace_back();
  }

  void parse_item() {
    if (lexer_.accept("stream")) {
      Stream& stream = next_of(program_.streams, "stream");
      stream.device = parse_device(lexer_);
      stream.name = lexer_.string("the stream's name");
    } else if (lexer_.accept("arena")) {
      Arena& arena = next_of(program_.arenas, "arena");
      arena.device = parse_device(lexer_);
      arena.bytes = labelled("bytes");
    } else if (lexer_.accept("buffer")) {
      parse_buffer(next_of(program_.buffers, "buffer"));
    } else if (lexer_.accept("arguments")) {
      program_.arguments = indices();
    } else if (lexer_.accept("results")) {
      program_.results = indices();
    } else if (lexer_.accept("update")) {
      StateUpdate& update = program_.updates.emplace_back();
      update.state = index("buffer");
      lexer_.expect("from");
      update.value = index("buffer");
    } else if (lexer_.accept("block")) {
      parse_block(next_of(program_.blocks, "block"));
    } else if (lexer_.accept("load")) {
      program_.load = index("block");
    } else if (lexer_.accept("step")) {
      program_.step = index("block");
    } else {
      lexer_.fail("stream, arena, buffer, arguments, results, update, block, load, step or '}'");
    }
  }

  int64_t labelled(std::string_view label) {
    lexer_.expect(label);
    return lexer_.integer(label);
  }

  void parse_buffer(ProgramBuffer& buffer) {
    size_t at = lexer_.position();
    std::string kind = lexer_.identifier("a kind of buffer");
    const auto* found = std::find(std::begin(kind_names), std::end(kind_names), kind);
    if (found == std::end(kind_names)) lexer_.fail_at(at, fmt::format("'{}' is no kind of buffer", kind));
    buffer.kind = static_cast<BufferKind>(found - std::begin(kind_names));
    buffer.device = parse_device(lexer_);
    at = lexer_.position();
    TensorType type = parse_type(lexer_).tensor();
    if (type.where.is_placed()) lexer_.fail_at(at, "a buffer's type has no place: its device stands before it");
    for (const Dim& dim : type.shape)
      if (!dim.is_number()) lexer_.fail_at(at, "a buffer's sizes are numbers");
    buffer.dtype = type.dtype;
    buffer.sizes = type.sizes();
    buffer.layout = type.layout;
    buffer.bytes = labelled("bytes");
    buffer.alignment = labelled("align");
    if (lexer_.accept("arena")) {
      buffer.arena = index("arena");
      buffer.offset = labelled("offset");
    }
    if (lexer_.accept("of")) buffer.view_of = index("buffer");
    buffer.name = lexer_.string("the buffer's name");
  }

  void parse_block(Block& block) {
    block.name = lexer_.string("the block's name");
    lexer_.expect("{");
    while (!lexer_.accept("}")) {
      size_t at = lexer_.position();
      int64_t number = lexer_.integer("an instruction's number or '}'");
      if (number != static_cast<int64_t>(block.instructions.size()))
        lexer_.fail_at(at, fmt::format("found instruction {}, expected {}", number, block.instructions.size()));
      lexer_.expect(":");
      block.instructions.push_back(parse_instruction());
    }
  }

  Instruction parse_instruction() {
    if (lexer_.accept("allocate")) {
      int stream = parse_stream();
      return Allocate{stream, index("buffer")};
    }
    if (lexer_.accept("launch")) return parse_launch();
    if (lexer_.accept("copy")) return parse_copy();
    if (lexer_.accept("wait")) {
      int stream = parse_stream();
      lexer_.expect("for");
      return Wait{stream, index("instruction")};
    }
    if (lexer_.accept("all_reduce")) return parse_all_reduce();
    if (lexer_.accept("call")) return Call{index("block")};
    if (lexer_.accept("branch")) return parse_branch();
    if (lexer_.accept("repeat")) return parse_repeat();
    lexer_.fail("allocate, launch, copy, wait, all_reduce, call, branch or repeat");
  }

  int parse_stream() {
    lexer_.expect("stream");
    return index("stream");
  }

  Launch parse_launch() {
    Launch launch;
    launch.stream = parse_stream();
    lexer_.expect("image");
    launch.image = index("image");
    lexer_.expect("entry");
    launch.entry = lexer_.string("the entry's name");
    launch.buffers = indices();
    lexer_.expect("written");
    launch.written = index("number of buffers");
    lexer_.expect("scalars");
    lexer_.expect("(");
    while (!lexer_.accept(")")) {
      if (!launch.scalars.empty()) lexer_.expect(",");
      launch.scalars.push_back(lexer_.integer("a scalar"));
    }
    lexer_.expect("flops");
    launch.flops = lexer_.number("operations");
    lexer_.expect("bytes");
    launch.bytes = lexer_.number("bytes");
    lexer_.expect("origin");
    launch.origin = lexer_.string("an origin");
    return launch;
  }

  Copy parse_copy() {
    Copy copy;
    copy.stream = parse_stream();
    copy.source = lexer_.accept("given") ? -1 : index("buffer");
    lexer_.expect("to");
    copy.destination = index("buffer");
    copy.facts = parse_facts();
    return copy;
  }

  TransferFacts parse_facts() {
    TransferFacts facts;
    facts.from = parse_device(lexer_);
    lexer_.expect("->");
    facts.to = parse_device(lexer_);
    facts.bytes = labelled("bytes");
    lexer_.expect("value");
    facts.value = lexer_.string("what is moved");
    lexer_.expect("origin");
    facts.origin = lexer_.string("an origin");
    lexer_.expect("cause");
    facts.cause = lexer_.string("a cause");
    return facts;
  }

  Collective parse_all_reduce() {
    Collective collective;
    lexer_.expect("streams");
    collective.streams = indices();
    lexer_.expect("sources");
    collective.sources = indices();
    lexer_.expect("destinations");
    collective.destinations = indices();
    lexer_.expect("scratch");
    collective.scratch = index("buffer");
    collective.facts = parse_facts();
    return collective;
  }

  Branch parse_branch() {
    Branch branch;
    branch.condition = index("buffer");
    lexer_.expect("then");
    branch.then_block = index("block");
    lexer_.expect("else");
    branch.else_block = index("block");
    return branch;
  }

  Repeat parse_repeat() {
    Repeat repeat;
    repeat.block = index("block");
    if (lexer_.accept("while")) {
      repeat.count = -1;
      repeat.condition = index("buffer");
    } else {
      repeat.count = labelled("times");
    }
    return repeat;
  }

  Lexer lexer_;
  Program program_;
};

}  // namespace

std::string_view name(BufferKind kind) { return kind_names[static_cast<size_t>(kind)]; }

std::string print_program(const Program& program) {
  std::string text = fmt::format("program {} {{\n", quote(program.name));
  auto line = [&](const std::string& content) { (text += content) += '\n'; };
  for (size_t i = 0; i < program.streams.size(); ++i)
    line(fmt::format("  stream {} {} {}", i, program.streams[i].device.to_string(), quote(program.streams[i].name)));
  for (size_t i = 0; i < program.arenas.size(); ++i)
    line(fmt::format("  arena {} {} bytes {}", i, program.arenas[i].device.to_string(), program.arenas[i].bytes));
  for (size_t i = 0; i < program.buffers.size(); ++i) line(fmt::format("  buffer {} {}", i, print(program.buffers[i])));
  line("  arguments " + print_indices(program.arguments));
  line("  results " + print_indices(program.results));
  for (const StateUpdate& update : program.updates)
    line(fmt::format("  update {} from {}", update.state, update.value));
  for (size_t i = 0; i < program.blocks.size(); ++i) {
    line(fmt::format("  block {} {} {{", i, quote(program.blocks[i].name)));
    const std::vector<Instruction>& instructions = program.blocks[i].instructions;
    for (size_t k = 0; k < instructions.size(); ++k) line(fmt::format("    {}: {}", k, print(instructions[k])));
    line("  }");
  }
  if (program.load >= 0) line(fmt::format("  load {}", program.load));
  line(fmt::format("  step {}", program.step));
  return text + "}\n";
}

Program parse_program(std::string_view text) { return Parser(text).parse(); }

std::vector<LedgerLine> transfer_ledger(const Program& program) {
  std::vector<LedgerLine> ledger;
  auto add = [&](int block, bool once) {
    for (const Instruction& instruction : program.blocks[block].instructions) {
      const TransferFacts* facts = nullptr;
      if (const Copy* copy = std::get_if<Copy>(&instruction)) facts = &copy->facts;
      if (const Collective* collective = std::get_if<Collective>(&instruction)) facts = &collective->facts;
      if (facts && facts->bytes > 0) ledger.push_back({*facts, once});
    }
  };
  if (program.load >= 0) add(program.load, true);
  for (int block = 0; block < static_cast<int>(program.blocks.size()); ++block)
    if (block != program.load) add(block, false);
  return ledger;
}

}  // namespace placewright
