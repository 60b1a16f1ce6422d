// How the text of a PTX module is read: from its tokens, in one pass but for functions, which each call takes in anew.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ptx.h"

namespace cuda_emulator {

constexpr int invalid_ptx = 218, unsupported_version = 222;

struct Token {
  std::string text;
  int line = 0;
};
// Words (with their dots), numbers, quoted strings, and single characters.
std::vector<Token> tokens_of(const std::string& text);

int bytes_of_type(const std::string& type);  // 0: not a type that is known

struct Symbol {
  Space space;
  uint64_t value;  // an address, or an offset in its space
};

class Parser {
 public:
  Parser(const std::string& text, Place place, void* context)
      : tokens_(tokens_of(text)), place_(place), context_(context) {
    std::string line;
    for (char c : text + "\n") {
      if (c != '\n') line += c;
      if (c == '\n') module_.lines.push_back(std::move(line)), line.clear();
    }
  }

  Module run();

 private:
  const std::string& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)].text; }
  int line() const { return tokens_[at_].line; }
  std::string next() {
    if (at_ + 1 < tokens_.size()) return tokens_[at_++].text;
    fail("the text ends too early");
  }
  bool accept(const char* text) {
    if (peek() != text) return false;
    ++at_;
    return true;
  }
  void expect(const char* text) {
    if (!accept(text)) fail(std::string("found '") + peek() + "', expected '" + text + "'");
  }
  [[noreturn]] void fail(const std::string& what) const { fail_at(line(), what); }
  [[noreturn]] void fail_at(int line, const std::string& what) const {
    std::string text = line > 0 && static_cast<size_t>(line) <= module_.lines.size()
                           ? module_.lines[static_cast<size_t>(line) - 1]
                           : "";
    throw Fault(invalid_ptx, "PTX line " + std::to_string(line) + ": " + what + ": " + text);
  }

  // parse_ptx.cc
  void version(const std::string& text);
  void skip_braces();
  int64_t integer();
  bool literal_follows() const;
  // 0fXXXXXXXX and 0dXXXXXXXXXXXXXXXX are the bits of a number.
  uint64_t literal();
  // .global .align 4 .b8 name[16] = {1, 2}; in shared and local space without a value.
  void variable(std::map<std::string, Symbol>& symbols, int64_t& shared_bytes);
  void initialise(GlobalVariable& variable, int bytes);
  // A function's parameters by name, and where its body begins: each call takes the body in anew.
  void function();
  std::vector<std::string> names_of_parameters();

  // parse_kernel.cc
  void kernel();
  void parameters();
  void body(int64_t& shared);
  void statement(int64_t& shared);
  void registers();
  // call.uni (results), name, (arguments);
  void call();
  // What a call passes stands in local memory.
  void passed_parameter();
  void resolve_jumps();

  // parse_instruction.cc: every operand becomes a register.
  void instruction();
  void operand(Instruction& instruction, int& addresses);
  void add(Instruction& instruction, int reg);
  int constant(uint64_t bits);
  int named(const std::string& name, const Instruction& instruction);
  int special(const std::string& name);
  // A move that takes a register apart or puts one together is an opcode of its own.
  std::string parts_of_move() const;

  static constexpr const char* return_label = "the end of a called function";

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Place place_;
  void* context_;
  Module module_;
  std::map<std::string, Symbol> module_symbols_, symbols_;
  int64_t module_shared_ = 0;
  std::vector<std::pair<int64_t, int64_t>> module_gaps_;
  Kernel* kernel_ = nullptr;
  std::map<std::string, int> labels_;
  std::vector<std::pair<size_t, std::string>> jumps_;
  std::vector<std::string> open_shared_;
  std::vector<std::pair<size_t, size_t>> open_shared_uses_;
  int source_line_ = 0;
  struct Function {
    std::vector<std::string> results, parameters;
    size_t body = 0;
  };
  std::map<std::string, Function> functions_;
  int depth_ = 0;  // of calls
  int64_t called_shared_ = 0;
};

}  // namespace cuda_emulator
