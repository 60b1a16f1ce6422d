// The subcommands, their options and exit codes (docs/command-line.md), and how output looks. command_line.h reads the
// options; a subcommand's file says what it does with them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/base/counts.h"    // bytes_text, plural: as the rest of how output looks
#include "placewright/base/duration.h"  // duration_text

namespace placewright {
struct Machine;  // ir/machine.h
struct Profile;  // ir/profile.h
}  // namespace placewright

namespace placewright::tools {

// The exit codes of every subcommand.
enum ExitCode : int {
  success = 0,
  failure = 1,    // a file, an input or the machine is at fault: one line on standard error says how
  usage = 2,      // the command line is wrong
  finding = 3,    // it ran, and what was asked about is not so: doctor found a fault, results differ
  drift = 4,      // a plan is not what its file says, or exceeds a limit: place --check, diff
  internal = 70,  // a bug in Placewright
};

struct InspectOptions {
  std::string file;
  bool text = false;
};
int inspect(const InspectOptions& options);

struct DriftOptions {
  std::vector<std::string> fail_on = {"device", "bytes", "peak", "time"};
  double tolerance = 0.03;
  std::string format;  // text, json, markdown, github; empty: text
  int64_t max_bytes_per_step = -1, max_memory = -1;
};

// What `place` does with plan files and problem files, beside its report.
struct PlanActions {
  std::string plan, check;  // files that are followed, or compared with
  bool accept = false;
  std::string certificate, export_problem, import_plan;
  DriftOptions drift;
};

struct PlaceOptions {
  std::string file, devices = "cpu", machine, profile, rules;
  std::vector<std::string> symbols, memory;
  std::string format, output;
  bool every_op = false, strict = false;
  PlanActions plans;
};
int place(const PlaceOptions& options);

struct FitOptions {
  std::string file, format = "text", batch;
  std::vector<std::string> machines, symbols;
  bool must_fit = false;
};
int fit(const FitOptions& options);

struct WhyOptions {
  std::string file, op, devices = "cpu", machine, profile, rules;
  std::vector<std::string> symbols, memory;
  std::string format;  // text or json; empty: text
};
int why(const WhyOptions& options);

struct WhatIfOptions {
  std::string file, devices = "cpu", machine, profile, rules;
  std::vector<std::string> symbols, memory;
  std::string format;  // as in WhyOptions
  std::string batch;   // "1:4096"
  std::vector<std::string> vary, links;
};
int what_if(const WhatIfOptions& options);

struct DiffOptions {
  std::string before, after;
  DriftOptions drift;
};
int diff(const DiffOptions& options);

struct CompileOptions {
  std::string file, devices = "cpu", machine, profile, rules, output;
  std::vector<std::string> symbols, memory;
  bool strict = false;
};
int compile(const CompileOptions& options);

struct OptOptions {
  std::string file, output;
  std::vector<std::string> passes, symbols;
  bool list = false, times = false;
};
int opt(const OptOptions& options);

struct RunOptions {
  std::string file, devices = "cpu", output, plan;
  std::vector<std::string> inputs, memory;
  int threads = 0;
  bool strict = false;
};
int run(const RunOptions& options);

struct DoctorOptions {
  std::string format = "text";  // or json
  bool machine = false;
};
int doctor(const DoctorOptions& options);

struct MachineOptions {
  std::string devices = "cpu", output, profile, shipped, model;
  std::vector<std::string> symbols;
  int threads = 0;
  bool calibrate = false, json = false, list = false;
};
int show_machine(const MachineOptions& options);

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
  bool peers = false, no_peers = false, predict = false;
  std::string devices = "cpu";  // programs run on the first that is not the processor
  std::string json;
};
int bench(const BenchOptions& options);

// "B=32", ... as sizes by name, "sim:0=1000000", ... as bytes by device. Error: something else, or a name twice.
std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts);
std::map<std::string, int64_t> parse_memory(const std::vector<std::string>& texts);

// What --machine says: the name of a shipped machine, or a file. Error unless the machine is whole (verify_machine).
Machine read_machine(const std::string& name);
std::vector<std::string> shipped_machines();  // names, in order
// What --profile says; Error if it is another machine's.
Profile read_profile(const std::string& file, const Machine& machine);

// Without line breaks and what else terminals obey: names and paths in messages come from files.
std::string one_line(std::string_view text);
// Emphasis for a terminal; plain elsewhere and when NO_COLOR is set.
std::string bold(std::string_view text);
std::string dim(std::string_view text);
bool in_colour();
std::string marked(std::string_view text, int code);  // by the terminal's code, whoever reads it

// In lines of at most `width` columns, all but the first indented; words longer than a line stay whole.
std::string wrapped(std::string_view text, int width, int indent);

}  // namespace placewright::tools
