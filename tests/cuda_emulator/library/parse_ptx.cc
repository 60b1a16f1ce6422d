// What stands outside kernels: directives, variables, functions and what they are called with.
#include <cctype>
#include <cstdlib>
#include <cstring>

#include "parser.h"

namespace cuda_emulator {

int bytes_of_type(const std::string& type) {
  static const std::map<std::string, int> sizes = {{".b8", 1},  {".u8", 1},  {".s8", 1},  {".b16", 2}, {".u16", 2},
                                                   {".s16", 2}, {".f16", 2}, {".b32", 4}, {".u32", 4}, {".s32", 4},
                                                   {".f32", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}, {".f64", 8}};
  auto found = sizes.find(type);
  return found == sizes.end() ? 0 : found->second;
}

Module Parser::run() {
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

void Parser::version(const std::string& text) {
  if (std::atof(text.c_str()) > 9.9) throw Fault(unsupported_version, "PTX version " + text + " is not known");
}

void Parser::skip_braces() {
  expect("{");
  for (int depth = 1; depth > 0;) {
    std::string token = next();
    depth += token == "{" ? 1 : token == "}" ? -1 : 0;
  }
}

int64_t Parser::integer() {
  bool minus = accept("-");
  std::string text = next();
  char* end = nullptr;
  uint64_t value = std::strtoull(text.c_str(), &end, 0);
  if (*end == 'U') ++end;
  if (text.empty() || *end) fail("found '" + text + "', expected an integer");
  return static_cast<int64_t>(minus ? 0 - value : value);
}

constexpr int64_t shared_gap = 64;

void Parser::variable(std::map<std::string, Symbol>& symbols, int64_t& shared_bytes) {
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
      if (space == ".shared") {
        (kernel_ ? kernel_->shared_gaps : module_gaps_).emplace_back(end, shared_gap);
        end += shared_gap;
      }
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

void Parser::initialise(GlobalVariable& variable, int bytes) {
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

bool Parser::literal_follows() const {
  const std::string& text = peek();
  return text == "-" || std::isdigit(static_cast<unsigned char>(text[0]));
}

uint64_t Parser::literal() {
  const std::string& text = peek();
  bool is_float = text.size() == 10 && (text[1] == 'f' || text[1] == 'F') && text[0] == '0';
  bool is_double = text.size() == 18 && (text[1] == 'd' || text[1] == 'D') && text[0] == '0';
  if (is_float || is_double) return std::strtoull(next().c_str() + 2, nullptr, 16);
  return static_cast<uint64_t>(integer());
}

void Parser::function() {
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

std::vector<std::string> Parser::names_of_parameters() {
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

Module parse_ptx(const std::string& text, Place place, void* context) { return Parser(text, place, context).run(); }

}  // namespace cuda_emulator
