// The subcommands, their options and exit codes (docs/command-line.md), and how output looks. command_line.h reads the
// options; a subcommand's file says what it does with them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace placewright::tools {

// The exit codes of every subcommand.
enum ExitCode : int {
  success = 0,
  failure = 1,    // a file, an input or the machine is at fault: one line on standard error says how
  usage = 2,      // the command line is wrong
  finding = 3,    // it ran, and what was asked about is not so: doctor found a fault, results differ
  internal = 70,  // a bug in Placewright
};

struct InspectOptions {
  std::string file;
  bool text = false;
};
int inspect(const InspectOptions& options);

struct PlaceOptions {
  std::string file, devices = "cpu", machine;
  std::vector<std::string> symbols;
  bool json = false, strict = false;
};
int place(const PlaceOptions& options);

struct OptOptions {
  std::string file, output;
  std::vector<std::string> passes, symbols;
  bool list = false, times = false;
};
int opt(const OptOptions& options);

struct RunOptions {
  std::string file, devices = "cpu", output;
  std::vector<std::string> inputs;
  int threads = 0;
  bool strict = false;
};
int run(const RunOptions& options);

struct DoctorOptions {
  bool json = false, machine = false;
};
int doctor(const DoctorOptions& options);

struct CacheOptions {
  std::string folder;  // empty: the default one
};
int list_cache(const CacheOptions& options);
int clear_cache(const CacheOptions& options);
int print_cache_path(const CacheOptions& options);

struct BenchOptions {
  std::vector<std::string> programs{"a", "b", "c", "d", "e", "gemm"};
  int threads = 1;
  int rounds = 15;
  bool peers = false, no_peers = false;
  std::string json;
};
int bench(const BenchOptions& options);

// "B=32", ... as sizes by name.
std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts);

// Emphasis for a terminal; plain elsewhere and when NO_COLOR is set.
std::string bold(std::string_view text);
std::string dim(std::string_view text);

std::string bytes_text(int64_t bytes);  // "1,234,567 B"

}  // namespace placewright::tools
