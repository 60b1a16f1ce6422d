// The text of a PTX module to kernels whose operands are all registers.
#include <cctype>
#include <cstring>
#include <utility>

#include "ptx.h"

namespace cuda_emulator {
namespace {

constexpr const char* return_label = "the end of a called function";
constexpr int invalid_ptx = 218, unsupported_version = 222;

int bytes_of_type(const std::string& type) {
  static const std::map<std::string, int> sizes = {{".b8", 1},  {".u8", 1},  {".s8", 1},  {".b16", 2}, {".u16", 2},
                                                   {".s16", 2}, {".f16", 2}, {".b32", 4}, {".u32", 4}, {".s32", 4},
                                                   {".f32", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}, {".f64", 8}};
  auto found = sizes.find(type);
  return found == sizes.end() ? 0 : found->second;
}

struct Token {
  std::string text;
  int line = 0;
};

// Words (with their dots), numbers, quoted strings, and single characters.
std::vector<Token> tokens_of(const std::string& text) {
  std::vector<Token> tokens;
  int line = 1;
  auto is_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.' || c == '%';
  };
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    if (c == '\n') ++line;
    if (c == 0) break;
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++i;
    } else if (text.compare(i, 2, "//") == 0) {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (text.compare(i, 2, "/*") == 0) {
      size_t end = std::min(text.find("*/", i), text.size() - 2) + 2;
      for (; i < end; ++i) line += text[i] == '\n';
    } else if (c == '"') {
      size_t end = text.find('"', i + 1);
      if (end == std::string::npos) throw Fault(invalid_ptx, "PTX line " + std::to_string(line) + ": open string");
      tokens.push_back({text.substr(i, end + 1 - i), line});
      i = end + 1;
    } else if (is_word(c)) {
      size_t end = i;
      // "::" joins the parts of a modifier, as in ".L1::no_allocate".
      while (end < text.size() && (is_word(text[end]) || (text.compare(end, 2, "::") == 0)))
        end += is_word(text[end]) ? 1 : 2;
      tokens.push_back({text.substr(i, end - i), line});
      i = end;
    } else {
      tokens.push_back({std::string(1, c), line});
      ++i;
    }
  }
  tokens.push_back({"", line});
  return tokens;
}

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

  Module run() {
    // Calls may stand before what they call.
    for (at_ = 0; !peek().empty();)
      if (accept(".func"))
        function();
      else
        ++at_;
    at_ = 0;
    while (!peek().empty()) {
      if (accept(".version")) {
        version(next());
      } else if (accept(".target")) {
        do {
          std::string target = next();
          if (target.rfind("sm_", 0) == 0) module_.capability = std::atoi(target.c_str() + 3);
        } while (accept(","));
      } else if (accept(".address_size")) {
        if (next() != "64") fail("an address size other than 64");
      } else if (accept(".file")) {
        next(), next();
        while (accept(",")) next();
      } else if (accept(".section")) {
        next();
        skip_braces();
      } else if (accept(".visible") || accept(".weak") || accept(".extern")) {
        continue;
      } else if (accept(".entry")) {
        kernel();
      } else if (accept(".func")) {
        function();
      } else if (peek() == ".global" || peek() == ".const" || peek() == ".shared") {
        variable(module_symbols_, module_shared_);
      } else {
        fail("'" + peek() + "' outside a kernel is not implemented");
      }
    }
    return std::move(module_);
  }

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

  void version(const std::string& text) {
    if (std::atof(text.c_str()) > 9.9) throw Fault(unsupported_version, "PTX version " + text + " is not known");
  }

  void skip_braces() {
    expect("{");
    for (int depth = 1; depth > 0;) {
      std::string token = next();
      depth += token == "{" ? 1 : token == "}" ? -1 : 0;
    }
  }

  int64_t integer() {
    bool minus = accept("-");
    std::string text = next();
    char* end = nullptr;
    uint64_t value = std::strtoull(text.c_str(), &end, 0);
    if (*end == 'U') ++end;
    if (text.empty() || *end) fail("found '" + text + "', expected an integer");
    return static_cast<int64_t>(minus ? 0 - value : value);
  }

  // .global .align 4 .b8 name[16] = {1, 2}; in shared and local space without a value.
  void variable(std::map<std::string, Symbol>& symbols, int64_t& shared_bytes) {
    std::string space = next();
    int64_t alignment = 1, elements = 1;
    if (accept(".align")) alignment = integer();
    std::string type = next();
    int bytes = bytes_of_type(type);
    if (bytes == 0) fail("a variable of type " + type + " is not implemented");
    alignment = std::max<int64_t>(alignment, bytes);
    std::string name = next();
    bool is_open = false;
    if (accept("[")) {
      if (peek() == "]")
        is_open = true;
      else
        elements = integer();
      expect("]");
    }
    if (space == ".shared" || space == ".local") {
      int64_t& end = space == ".shared" ? shared_bytes : kernel_->local_bytes;
      if (is_open) {  // dynamic shared memory: after everything static, known when the kernel has been read
        open_shared_.push_back(name);
        symbols[name] = {Space::shared, 0};
      } else {
        end = (end + alignment - 1) / alignment * alignment;
        symbols[name] = {space == ".shared" ? Space::shared : Space::local, static_cast<uint64_t>(end)};
        end += elements * bytes;
      }
      expect(";");
      return;
    }
    GlobalVariable variable{name, alignment, std::vector<uint8_t>(static_cast<size_t>(elements * bytes)), 0};
    if (accept("=")) initialise(variable, bytes);
    expect(";");
    variable.address = place_(variable, context_);
    symbols[name] = {Space::global, variable.address};
    module_.variables.push_back(std::move(variable));
  }

  void initialise(GlobalVariable& variable, int bytes) {
    bool many = accept("{");
    size_t to = 0;
    do {
      uint64_t value = literal_follows() ? literal() : 0;
      if (to + static_cast<size_t>(bytes) > variable.bytes.size()) fail("more values than the variable holds");
      std::memcpy(&variable.bytes[to], &value, static_cast<size_t>(bytes));
      to += static_cast<size_t>(bytes);
    } while (many && accept(","));
    if (many) expect("}");
  }

  bool literal_follows() const {
    const std::string& text = peek();
    return text == "-" || std::isdigit(static_cast<unsigned char>(text[0]));
  }

  // 0fXXXXXXXX and 0dXXXXXXXXXXXXXXXX are the bits of a number.
  uint64_t literal() {
    const std::string& text = peek();
    bool is_float = text.size() == 10 && (text[1] == 'f' || text[1] == 'F') && text[0] == '0';
    bool is_double = text.size() == 18 && (text[1] == 'd' || text[1] == 'D') && text[0] == '0';
    if (is_float || is_double) return std::strtoull(next().c_str() + 2, nullptr, 16);
    return static_cast<uint64_t>(integer());
  }

  // A function's parameters by name, and where its body begins: each call takes the body in anew.
  void function() {
    Function made;
    if (accept("(")) made.results = names_of_parameters();
    std::string name = next();
    if (accept("(")) made.parameters = names_of_parameters();
    if (accept(";")) return;
    while (peek()[0] == '.') next();
    made.body = at_;
    functions_[name] = made;
    skip_braces();
  }

  std::vector<std::string> names_of_parameters() {
    std::vector<std::string> names;
    while (!accept(")")) {
      std::string token = next();
      if (token == "[") {
        integer();
        expect("]");
      } else if (token == ".align") {
        integer();
      } else if (token[0] != '.' && token != ",") {
        names.push_back(token);
      }
    }
    return names;
  }

  // call.uni (results), name, (arguments);
  void call() {
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

  void body(int64_t& shared) {
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

  void resolve_jumps() {
    for (const auto& [index, label] : jumps_) {
      auto found = labels_.find(label);
      if (found == labels_.end()) fail_at(kernel_->instructions[index].line, "no label " + label);
      kernel_->instructions[index].target = found->second;
    }
  }

  void kernel() {
    Kernel made;
    kernel_ = &made;
    made.name = next();
    symbols_ = module_symbols_;
    labels_.clear();
    jumps_.clear();
    int64_t shared = module_shared_;
    if (accept("(")) parameters();
    while (peek().rfind(".max", 0) == 0 || peek().rfind(".req", 0) == 0 || peek().rfind(".min", 0) == 0) {
      next();
      do integer();
      while (accept(","));
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

  void parameters() {
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

  void statement(int64_t& shared) {
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

  // What a call passes stands in local memory.
  void passed_parameter() {
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

  void registers() {
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

  int constant(uint64_t bits) {
    auto [found, is_new] = kernel_->constants.emplace(bits, kernel_->register_count);
    if (is_new) ++kernel_->register_count;
    return found->second;
  }

  int named(const std::string& name, const Instruction& instruction) {
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

  int special(const std::string& name) {
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

  void add(Instruction& instruction, int reg) {
    if (instruction.count == most_operands) fail("too many operands");
    instruction.operands[instruction.count++] = reg;
  }

  void operand(Instruction& instruction, int& addresses) {
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

  // A move that takes a register apart or puts one together is an opcode of its own.
  std::string parts_of_move() const {
    bool unpacks = peek() == "{", packs = peek(1) == "," && peek(2) == "{";
    if (!unpacks && !packs) return "";
    int parts = 1;
    for (size_t i = unpacks ? 1 : 3; peek(i) != "}" && !peek(i).empty(); ++i) parts += peek(i) == ",";
    return (unpacks ? "/unpack" : "/pack") + std::to_string(parts);
  }

  void instruction() {
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
      // Room for a second predicate that is not asked for.
      if (entry->count < 0 && !has_second) add(made, -1);
      while (accept(",")) operand(made, addresses);
    }
    expect(";");
    int count = entry->count < 0 ? -entry->count : entry->count;
    // An optional last operand (a source size, a group number) may be missing.
    if (made.count != count && !(made.count + 1 == count && opcode.rfind("cp.async.c", 0) == 0))
      fail_at(made.line,
              opcode + " has " + std::to_string(made.count) + " operands, expected " + std::to_string(count));
    if (made.count + 1 == count) add(made, -1);
    kernel_->instructions.push_back(made);
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Place place_;
  void* context_;
  Module module_;
  std::map<std::string, Symbol> module_symbols_, symbols_;
  int64_t module_shared_ = 0;
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

}  // namespace

Module parse_ptx(const std::string& text, Place place, void* context) { return Parser(text, place, context).run(); }

}  // namespace cuda_emulator
