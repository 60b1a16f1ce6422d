// The part of the report that says what kernels take of the devices that they were compiled for.
#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "placement_report.h"
#include "placewright/base/join.h"

namespace placewright::tools {
namespace {

constexpr int width = 100;
constexpr size_t most_origins = 3;

std::string heading(const KernelReport& kernel) {
  std::vector<std::string> origins = kernel.origins;
  const size_t more = origins.size() > most_origins ? origins.size() - most_origins : 0;
  origins.resize(origins.size() - more);
  std::string text = kernel.phase.symbol + ": " + join(origins, ", ");
  if (more > 0) text += fmt::format(" and {} more", more);
  const auto& groups = kernel.phase.groups;
  const auto& threads = kernel.phase.group_threads;
  return text + fmt::format(", {} of {}", plural(static_cast<size_t>(groups[0] * groups[1] * groups[2]), "group"),
                            plural(static_cast<size_t>(threads[0] * threads[1] * threads[2]), "thread"));
}

std::string resources(const KernelReport& kernel) {
  const KernelResources& uses = kernel.uses;
  std::string text = fmt::format("{:<7}{:>4} registers, {:>8} shared", kernel.target, uses.registers,
                                 bytes_text(uses.shared_bytes + kernel.phase.shared_bytes));
  if (uses.most_threads > 0) text += fmt::format(", occupancy {:>3.0f}% ({})", 100 * uses.occupancy(), uses.limit);
  if (uses.spill_store_bytes + uses.spill_load_bytes > 0)
    text += fmt::format(", spills {} B and reads {} B back", uses.spill_store_bytes, uses.spill_load_bytes);
  else if (uses.stack_bytes > 0)
    text += fmt::format(", stack {} B", uses.stack_bytes);
  return text;
}

}  // namespace

// Rows come by target: each phase is told once, with all of its targets.
std::string kernels_text(const std::vector<KernelReport>& kernels, bool colour) {
  std::string text;
  for (const KernelReport& first : kernels) {
    if (first.target != kernels.front().target) break;
    if (text.empty())
      text = "\n" +
             (colour ? marked("Kernels: of a thread, of a group, and of what a multiprocessor holds", 1)
                     : "Kernels: of a thread, of a group, and of what a multiprocessor holds") +
             "\n";
    text += wrapped("  " + heading(first), width, 4) + "\n";
    for (const KernelReport& each : kernels)
      if (each.image == first.image && each.phase.symbol == first.phase.symbol) text += "    " + resources(each) + "\n";
  }
  return text;
}

}  // namespace placewright::tools
