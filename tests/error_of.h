// What an action throws, as tests ask for it.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "placewright/base/error.h"

namespace placewright {

// What the error says, which is one line; "" if there is none.
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }
  return "";
}

}  // namespace placewright
