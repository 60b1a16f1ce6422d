// Reads the tokens of our text forms: identifiers, numbers, strings and punctuation; `//` comments run to the line's
// end. Every error names line and column, what was found and what was expected.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace placewright {

class Lexer {
 public:
  // `text` must outlive the lexer; `name` stands before the position in errors ("model.pw").
  explicit Lexer(std::string_view text, std::string name = "text");

  bool at_end();
  bool next_is(std::string_view token);  // punctuation or whole identifier; consumes nothing
  bool accept(std::string_view token);   // consumes it if it is next
  void expect(std::string_view token);
  bool next_is_identifier();
  // Letters, digits, `_` and `.`, beginning with a letter or `_`.
  std::string identifier(std::string_view what = "a name");
  int64_t integer(std::string_view what = "an integer");
  double number(std::string_view what = "a number");       // also inf, -inf, nan
  std::string string(std::string_view what = "a string");  // "..." with \" \\ \n \t \xHH

  [[noreturn]] void fail(std::string_view expected);  // found: the next token
  [[noreturn]] void fail_at(size_t position, const std::string& message) const;
  size_t position();  // of the next token

 private:
  void skip_space();
  std::string_view token_here() const;

  std::string_view text_;
  std::string name_;
  size_t at_ = 0;
};

// The inverse of Lexer::string.
std::string quote(std::string_view text);

}  // namespace placewright
