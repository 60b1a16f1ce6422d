#include "placewright/base/error.h"

#include <fmt/core.h>

namespace placewright::detail {

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  throw std::logic_error(fmt::format("internal error at {}:{}: {} does not hold{}{}; this is a bug in Placewright",
                                     file, line, condition, message.empty() ? "" : ": ", message));
}

}  // namespace placewright::detail
