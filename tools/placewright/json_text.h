// JSON as the tool writes it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace placewright::tools {

// Names may hold any bytes: what is no UTF-8 becomes U+FFFD. `indent` -1: all in one line.
inline std::string json_text(const nlohmann::ordered_json& document, int indent = 2) {
  return document.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace placewright::tools
