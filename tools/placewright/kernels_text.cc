// The part of the report that says what kernels take of the devices that they were compiled for.
#include "command.h"
#include "placement_report.h"

namespace placewright::tools {

std::string kernels_text(const std::vector<KernelReport>& kernels, bool colour) {
  constexpr int width = 100;
  std::string text;
  for (const std::string& line : kernel_lines(kernels))
    text += text.empty() ? "\n" + (colour ? marked(line, 1) : line) + "\n" : wrapped(line, width, 4) + "\n";
  return text;
}

}  // namespace placewright::tools
