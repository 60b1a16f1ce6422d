#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>

#include <fmt/core.h>

#include "command.h"
#include "command_line.h"
#include "placewright/base/error.h"

namespace {

using namespace placewright::tools;

// What was printed has arrived: a full disk is a fault, not a short answer.
int checked(int code) {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return code;
  throw placewright::Error(fmt::format("cannot write to standard output: {}", std::strerror(errno ? errno : EIO)));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return checked(run_command_line(argc, argv));
  } catch (const placewright::Error& error) {
    fmt::print(stderr, "placewright: {}\n", one_line(error.what()));
    return failure;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "placewright: the machine is out of memory\n");
    return failure;
  } catch (const std::system_error& error) {
    fmt::print(stderr, "placewright: {}\n", one_line(error.what()));
    return failure;
  } catch (const std::exception& error) {
    fmt::print(stderr, "placewright: {}\n", one_line(error.what()));
    return internal;
  }
}
