#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "command.h"
#include "placewright/base/error.h"

namespace {

using namespace placewright::tools;

int run(int argc, char** argv) {
  CLI::App app("Placewright: says where every operation of a model runs, why, and what is copied.", "placewright");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 a file, an input or the machine is at fault, 2 wrong command line, 3 a finding,\n"
      "4 a plan drifted, 70 a bug in Placewright. NO_COLOR switches colours off. 'placewright COMMAND --help' has examples.");
  Action action;
  add_inspect(app, action);
  add_place(app, action);
  add_diff(app, action);
  add_opt(app, action);
  add_run(app, action);
  add_doctor(app, action);
  add_machine(app, action);
  add_cache(app, action);
  add_bench(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    fmt::print(stderr, "placewright: {} (placewright --help)\n", error.what());
    return usage;
  }
  return action();
}

// What was printed has arrived: a full disk is a fault, not a short answer.
int checked(int code) {
  std::cout.flush();
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good()) return code;
  throw placewright::Error(fmt::format("cannot write to standard output: {}", std::strerror(errno ? errno : EIO)));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return checked(run(argc, argv));
  } catch (const placewright::Error& error) {
    fmt::print(stderr, "placewright: {}\n", error.what());
    return failure;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "placewright: the machine is out of memory\n");
    return failure;
  } catch (const std::system_error& error) {
    fmt::print(stderr, "placewright: {}\n", error.what());
    return failure;
  } catch (const std::exception& error) {
    fmt::print(stderr, "placewright: {}\n", error.what());
    return internal;
  }
}
