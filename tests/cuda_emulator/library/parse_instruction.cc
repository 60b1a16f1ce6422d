// Instructions, whose operands all become registers.
#include "parser.h"

namespace cuda_emulator {

int Parser::constant(uint64_t bits) {
  auto [found, is_new] = kernel_->constants.emplace(bits, kernel_->register_count);
  if (is_new) ++kernel_->register_count;
  return found->second;
}

int Parser::named(const std::string& name, const Instruction& instruction) {
  if (name[0] == '%') {
    auto found = kernel_->registers.find(name);
    if (found != kernel_->registers.end()) return found->second;
    return special(name);
  }
  auto found = symbols_.find(name);
  if (found == symbols_.end()) fail_at(instruction.line, "unknown name " + name);
  for (const std::string& open : open_shared_)
    if (open == name)
      open_shared_uses_.push_back({kernel_->instructions.size(), static_cast<size_t>(instruction.count)});
  return constant(found->second.value);
}

int Parser::special(const std::string& name) {
  static const std::map<std::string, Special> names = {{"%tid", Special::tid},
                                                       {"%ntid", Special::ntid},
                                                       {"%ctaid", Special::ctaid},
                                                       {"%nctaid", Special::nctaid},
                                                       {"%laneid", Special::laneid},
                                                       {"%warpid", Special::warpid},
                                                       {"%lanemask_eq", Special::lanemask_eq},
                                                       {"%lanemask_lt", Special::lanemask_lt},
                                                       {"%lanemask_le", Special::lanemask_le},
                                                       {"%lanemask_gt", Special::lanemask_gt},
                                                       {"%lanemask_ge", Special::lanemask_ge}};
  int dimension = 0;
  std::string base = name;
  if (name.size() > 2 && name[name.size() - 2] == '.') {
    dimension = name.back() - 'x';
    base = name.substr(0, name.size() - 2);
  }
  auto found = names.find(base);
  if (found == names.end() || dimension < 0 || dimension > 2)
    fail("the special register " + name + " is not implemented");
  auto [entry, is_new] = kernel_->specials.emplace(std::pair(found->second, dimension), kernel_->register_count);
  if (is_new) ++kernel_->register_count;
  return entry->second;
}

void Parser::add(Instruction& instruction, int reg) {
  if (instruction.count == most_operands) fail("too many operands");
  instruction.operands[instruction.count++] = reg;
}

void Parser::operand(Instruction& instruction, int& addresses) {
  if (accept("{")) {
    do operand(instruction, addresses);
    while (accept(","));
    return expect("}");
  }
  if (accept("[")) {
    if (literal_follows())
      add(instruction, constant(static_cast<uint64_t>(integer())));
    else
      add(instruction, named(next(), instruction));
    int64_t offset = accept("+") ? integer() : peek() == "-" ? integer() : 0;
    (addresses++ == 0 ? instruction.offset : instruction.second_offset) = offset;
    return expect("]");
  }
  if (literal_follows()) return add(instruction, constant(literal()));
  if (accept("!")) fail("a negated operand is not implemented");
  std::string name = next();
  if (name == "_") return add(instruction, -1);
  add(instruction, named(name, instruction));
  if (accept("|")) {
    std::string second = next();
    add(instruction, second == "_" ? -1 : named(second, instruction));
  }
}

std::string Parser::parts_of_move() const {
  bool unpacks = peek() == "{", packs = peek(1) == "," && peek(2) == "{";
  if (!unpacks && !packs) return "";
  int parts = 1;
  for (size_t i = unpacks ? 1 : 3; peek(i) != "}" && !peek(i).empty(); ++i) parts += peek(i) == ",";
  return (unpacks ? "/unpack" : "/pack") + std::to_string(parts);
}

namespace {

// All others write their first operand.
bool writes_nothing(const std::string& opcode) {
  for (const char* begin : {"st.", "red.", "bar.", "barrier.", "cp.", "fence.", "membar.", "nanosleep."})
    if (opcode.rfind(begin, 0) == 0) return true;
  return false;
}

}  // namespace

void Parser::instruction() {
  Instruction made;
  made.line = line();
  made.source_line = source_line_;
  if (accept("@")) {
    made.negated = accept("!");
    made.guard = named(next(), made);
  }
  made.line = line();
  std::string opcode = next();
  if (opcode == "call" || opcode == "call.uni") {
    if (made.guard >= 0) fail("a call under a predicate is not implemented");
    return call();
  }
  bool leaves_function = depth_ > 0 && (opcode == "ret" || opcode == "ret.uni");
  if (leaves_function) opcode = "bra";
  if (opcode.rfind("mov.", 0) == 0) opcode += parts_of_move();
  const OpcodeEntry* entry = find_opcode(opcode);
  if (!entry) fail_at(made.line, opcode + " is not implemented");
  made.run = entry->run;
  int addresses = 0;
  if (opcode == "bra" || opcode == "bra.uni") {
    jumps_.push_back({kernel_->instructions.size(), leaves_function ? return_label : next()});
  } else if (peek() != ";") {
    bool has_second = peek(1) == "|";
    operand(made, addresses);
    if (!writes_nothing(opcode)) made.results = made.count;
    // Room for a second predicate that is not asked for.
    if (entry->count < 0 && !has_second) add(made, -1);
    while (accept(",")) operand(made, addresses);
  }
  expect(";");
  int count = entry->count < 0 ? -entry->count : entry->count;
  // An optional last operand (a source size, a group number) may be missing.
  if (made.count != count && !(made.count + 1 == count && opcode.rfind("cp.async.c", 0) == 0))
    fail_at(made.line, opcode + " has " + std::to_string(made.count) + " operands, expected " + std::to_string(count));
  if (made.count + 1 == count) add(made, -1);
  kernel_->instructions.push_back(made);
}

}  // namespace cuda_emulator
