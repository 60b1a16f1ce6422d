#include "placewright/base/lexer.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/core.h>

#include "placewright/base/error.h"

namespace placewright {
namespace {

bool begins_identifier(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool continues_identifier(char c) { return begins_identifier(c) || is_digit(c) || c == '.'; }

size_t identifier_end(std::string_view text, size_t at) {
  while (at < text.size() && continues_identifier(text[at])) ++at;
  return at;
}

}  // namespace

Lexer::Lexer(std::string_view text, std::string name) : text_(text), name_(std::move(name)) {}

void Lexer::skip_space() {
  while (at_ < text_.size()) {
    char c = text_[at_];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
      ++at_;
    else if (text_.substr(at_, 2) == "//")
      at_ = std::min(text_.find('\n', at_), text_.size());
    else
      return;
  }
}

size_t Lexer::position() {
  skip_space();
  return at_;
}

bool Lexer::at_end() { return position() == text_.size(); }

bool Lexer::next_is(std::string_view token) {
  skip_space();
  if (text_.substr(at_, token.size()) != token) return false;
  // An identifier must end where the token does.
  return !begins_identifier(token.front()) || identifier_end(text_, at_) == at_ + token.size();
}

bool Lexer::accept(std::string_view token) {
  if (!next_is(token)) return false;
  at_ += token.size();
  return true;
}

void Lexer::expect(std::string_view token) {
  if (!accept(token)) fail(fmt::format("'{}'", token));
}

bool Lexer::next_is_identifier() { return !at_end() && begins_identifier(text_[at_]); }

std::string Lexer::identifier(std::string_view what) {
  if (!next_is_identifier()) fail(what);
  size_t begin = at_;
  at_ = identifier_end(text_, at_);
  return std::string(text_.substr(begin, at_ - begin));
}

int64_t Lexer::integer(std::string_view what) {
  skip_space();
  int64_t value = 0;
  auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc{}) fail(what);
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

double Lexer::number(std::string_view what) {
  skip_space();
  if (accept("nan")) return std::numeric_limits<double>::quiet_NaN();
  if (accept("inf")) return std::numeric_limits<double>::infinity();
  if (next_is("-inf")) {
    at_ += 4;
    return -std::numeric_limits<double>::infinity();
  }
  double value = 0;
  auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc{}) fail(what);
  at_ = static_cast<size_t>(end - text_.data());
  return value;
}

std::string Lexer::string(std::string_view what) {
  if (!next_is("\"")) fail(what);
  size_t begin = at_++;
  std::string value;
  while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
    if (text_[at_] != '\\') {
      value += text_[at_++];
      continue;
    }
    char escape = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    at_ += 2;
    if (escape == 'n')
      value += '\n';
    else if (escape == 't')
      value += '\t';
    else if (escape == '"' || escape == '\\')
      value += escape;
    else if (escape == 'x') {
      unsigned byte = 0;
      std::string_view digits = text_.substr(std::min(at_, text_.size()), 2);
      auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
      if (error != std::errc{} || digits.size() != 2 || end != digits.data() + 2)
        fail_at(begin, "bad \\x escape in string");
      value += static_cast<char>(byte);
      at_ += 2;
    } else {
      fail_at(begin, "unknown escape in string: expected \\n, \\t, \\\", \\\\ or \\xHH");
    }
  }
  if (at_ >= text_.size() || text_[at_] != '"') fail_at(begin, "string has no end");
  ++at_;
  return value;
}

std::string_view Lexer::token_here() const {
  if (at_ >= text_.size()) return "the end";
  size_t end = identifier_end(text_, at_);
  return text_.substr(at_, end == at_ ? 1 : std::min<size_t>(end - at_, 40));
}

void Lexer::fail(std::string_view expected) {
  skip_space();
  fail_at(at_, fmt::format("found '{}', expected {}", token_here(), expected));
}

void Lexer::fail_at(size_t position, const std::string& message) const {
  std::string_view before = text_.substr(0, position);
  auto line = std::count(before.begin(), before.end(), '\n') + 1;
  size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  throw Error(fmt::format("{}:{}:{}: {}", name_, line, position - line_start + 1, message));
}

std::string quote(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      (quoted += '\\') += c;
    else if (c == '\n')
      quoted += "\\n";
    else if (c == '\t')
      quoted += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20)
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      quoted += c;
  }
  return quoted + "\"";
}

}  // namespace placewright
