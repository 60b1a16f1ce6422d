// Reads the command line and runs the subcommand that it chooses.
#pragma once

namespace placewright::tools {

// The subcommand's exit code; `usage` for a wrong command line, and `success` after --help.
int run_command_line(int argc, char** argv);

}  // namespace placewright::tools
