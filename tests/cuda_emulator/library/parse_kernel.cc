// Kernels, statement by statement; calls take in the body of what they call.
#include "parser.h"

namespace cuda_emulator {

void Parser::call() {
  auto list = [&] {
    std::vector<Symbol> symbols;
    while (!accept(")")) {
      auto found = symbols_.find(next());
      if (found == symbols_.end()) fail("an unknown name in a call");
      symbols.push_back(found->second);
      accept(",");
    }
    return symbols;
  };
  std::vector<Symbol> results, arguments;
  if (accept("(")) {
    results = list();
    expect(",");
  }
  std::string name = next();
  if (accept(",")) {
    expect("(");
    arguments = list();
  }
  expect(";");
  auto found = functions_.find(name);
  if (found == functions_.end()) fail("the function " + name + " has no body here");
  const Function& function = found->second;
  if (function.results.size() != results.size() || function.parameters.size() != arguments.size())
    fail("a call of " + name + " with other parameters than it has");
  if (++depth_ > 16) fail("calls that deep are not implemented");
  std::map<std::string, Symbol> outer_symbols = std::exchange(symbols_, module_symbols_);
  for (size_t i = 0; i < results.size(); ++i) symbols_[function.results[i]] = results[i];
  for (size_t i = 0; i < arguments.size(); ++i) symbols_[function.parameters[i]] = arguments[i];
  std::map<std::string, int> outer_registers = std::exchange(kernel_->registers, {}),
                             outer_labels = std::exchange(labels_, {});
  auto outer_jumps = std::exchange(jumps_, {});
  size_t behind = std::exchange(at_, function.body);
  body(called_shared_);
  labels_[return_label] = static_cast<int>(kernel_->instructions.size());
  resolve_jumps();
  at_ = behind;
  symbols_ = std::move(outer_symbols);
  kernel_->registers = std::move(outer_registers);
  labels_ = std::move(outer_labels);
  jumps_ = std::move(outer_jumps);
  --depth_;
}

void Parser::body(int64_t& shared) {
  expect("{");
  for (int depth = 1; depth > 0;) {
    if (accept("{"))
      ++depth;
    else if (accept("}"))
      --depth;
    else
      statement(shared);
  }
}

void Parser::resolve_jumps() {
  for (const auto& [index, label] : jumps_) {
    auto found = labels_.find(label);
    if (found == labels_.end()) fail_at(kernel_->instructions[index].line, "no label " + label);
    kernel_->instructions[index].target = found->second;
  }
}

void Parser::kernel() {
  Kernel made;
  kernel_ = &made;
  made.name = next();
  symbols_ = module_symbols_;
  labels_.clear();
  jumps_.clear();
  int64_t shared = module_shared_;
  made.shared_gaps = module_gaps_;
  if (accept("(")) parameters();
  while (peek().rfind(".max", 0) == 0 || peek().rfind(".req", 0) == 0 || peek().rfind(".min", 0) == 0) {
    const bool limits = next() == ".maxntid";
    int64_t all = 1;
    do all *= integer();
    while (accept(","));
    if (limits) made.most_threads = all;
  }
  open_shared_uses_.clear();
  called_shared_ = 0;
  body(shared);
  if (called_shared_ > 0) fail("shared memory of a function is not implemented");
  made.shared_bytes = (shared + 15) / 16 * 16;
  // An open array begins where static shared memory ends.
  for (const auto& [instruction, operand] : open_shared_uses_)
    made.instructions[instruction].operands[operand] = constant(static_cast<uint64_t>(made.shared_bytes));
  resolve_jumps();
  Instruction end;  // falling off the end returns
  end.run = find_opcode("ret")->run;
  end.line = line();
  made.instructions.push_back(end);
  module_.kernels[made.name] = std::move(made);
  kernel_ = nullptr;
}

void Parser::parameters() {
  while (!accept(")")) {
    expect(".param");
    int64_t alignment = 1, elements = 1;
    if (accept(".align")) alignment = integer();
    int bytes = bytes_of_type(next());
    if (bytes == 0) fail("a parameter of this type is not implemented");
    while (peek() == ".ptr" || peek() == ".global" || peek() == ".align") {
      if (next() == ".align") integer();
    }
    std::string name = next();
    if (accept("[")) {
      elements = integer();
      expect("]");
    }
    alignment = std::max<int64_t>(alignment, bytes);
    auto offset = static_cast<int>((kernel_->parameter_bytes + alignment - 1) / alignment * alignment);
    int size = static_cast<int>(elements * bytes);
    kernel_->parameters.push_back({offset, size});
    kernel_->parameter_bytes = offset + size;
    symbols_[name] = {Space::param, static_cast<uint64_t>(offset)};
    accept(",");
  }
}

void Parser::statement(int64_t& shared) {
  if (accept(".reg")) return registers();
  if (accept(".loc")) {
    integer();
    source_line_ = static_cast<int>(integer());
    integer();
    while (accept(",")) {
      next();
      if (literal_follows() || peek()[0] == '$') next();
      if (accept("+")) integer();
      while (literal_follows()) integer();
    }
    return;
  }
  if (accept(".pragma")) {
    next();
    return expect(";");
  }
  if (peek() == ".shared" || peek() == ".local") return variable(symbols_, shared);
  if (accept(".param")) return passed_parameter();
  if (peek(1) == ":") {
    labels_[next()] = static_cast<int>(kernel_->instructions.size());
    return expect(":");
  }
  instruction();
}

void Parser::passed_parameter() {
  int64_t alignment = 1, elements = 1;
  if (accept(".align")) alignment = integer();
  int bytes = bytes_of_type(next());
  if (bytes == 0) fail("a parameter of this type is not implemented");
  std::string name = next();
  if (accept("[")) {
    elements = integer();
    expect("]");
  }
  expect(";");
  alignment = std::max<int64_t>(alignment, bytes);
  int64_t& end = kernel_->local_bytes;
  end = (end + alignment - 1) / alignment * alignment;
  symbols_[name] = {Space::param, local_base + static_cast<uint64_t>(end)};
  end += elements * bytes;
}

void Parser::registers() {
  next();  // the type: every register has 64 bits
  do {
    std::string name = next();
    if (accept("<")) {
      int64_t count = integer();
      expect(">");
      for (int64_t i = 0; i < count; ++i) kernel_->registers[name + std::to_string(i)] = kernel_->register_count++;
    } else {
      kernel_->registers[name] = kernel_->register_count++;
    }
  } while (accept(","));
  expect(";");
}

}  // namespace cuda_emulator
