// What the subcommands share: how one is declared, its exit codes (docs/command-line.md), and how output looks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

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

// What the chosen subcommand does; set while the command line is parsed.
using Action = std::function<int()>;

// Each declares its options on `app` and sets `action` when it is chosen.
void add_inspect(CLI::App& app, Action& action);
void add_opt(CLI::App& app, Action& action);
void add_cache(CLI::App& app, Action& action);
void add_place(CLI::App& app, Action& action);
void add_diff(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_machine(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);

// "B=32", ... as sizes by name.
std::map<std::string, int64_t> parse_symbols(const std::vector<std::string>& texts);

// What --machine says: the name of a shipped machine, or a file. Error unless the machine is whole (verify_machine).
Machine read_machine(const std::string& name);
std::vector<std::string> shipped_machines();  // names, in order
// What --profile says; Error if it is another machine's.
Profile read_profile(const std::string& file, const Machine& machine);

// Emphasis for a terminal; plain elsewhere and when NO_COLOR is set.
std::string bold(std::string_view text);
std::string dim(std::string_view text);
bool in_colour();
std::string marked(std::string_view text, int code);  // by the terminal's code, whoever reads it

std::string bytes_text(int64_t bytes);                    // "1,234,567 B"
std::string duration_text(double seconds);                // "12.3 us"
std::string plural(size_t count, std::string_view what);  // "1 op", "12,345 ops"
// In lines of at most `width` columns, all but the first indented; words longer than a line stay whole.
std::string wrapped(std::string_view text, int width, int indent);

}  // namespace placewright::tools
