#include "placewright/kernel_report.h"

#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/counts.h"
#include "placewright/base/join.h"

namespace placewright {
namespace {

constexpr size_t most_origins = 3;

// What launches the entry, in the order of the program; each origin once.
std::vector<std::string> launch_origins(const Program& program, const std::string& entry) {
  std::vector<std::string> origins;
  for (const Block& block : program.blocks)
    for (const Instruction& instruction : block.instructions)
      if (const Launch* launch = std::get_if<Launch>(&instruction); launch && launch->entry == entry)
        if (std::find(origins.begin(), origins.end(), launch->origin) == origins.end())
          origins.push_back(launch->origin);
  return origins;
}

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

std::vector<KernelReport> report_kernels(const Program& program, const KernelImage& image, int32_t number) {
  std::vector<KernelReport> reports;
  for (const KernelEntry& entry : image.entries) {
    const std::vector<std::string> origins =
        image.resources.empty() ? std::vector<std::string>{} : launch_origins(program, entry.name);
    const std::string contraction = entry.contraction ? describe(*entry.contraction) : "";
    const std::string rest = entry.rest.empty() ? "" : entry.rest[0].symbol;
    auto report = [&](const KernelPhase& phase, const std::string& product) {
      for (const KernelResources& uses : image.resources)
        if (uses.symbol == phase.symbol)
          reports.push_back({image.target, number, entry.name, origins, phase, uses, product, rest});
    };
    for (const KernelPhase& phase : entry.phases) report(phase, contraction);
    for (const KernelPhase& phase : entry.rest) report(phase, "");
  }
  return reports;
}

std::vector<std::string> kernel_lines(const std::vector<KernelReport>& kernels) {
  std::vector<std::string> lines;
  for (const KernelReport& first : kernels) {
    if (first.target != kernels.front().target) break;
    if (lines.empty()) lines.emplace_back("Kernels: of a thread, of a group, and of what a multiprocessor holds");
    lines.push_back("  " + heading(first));
    if (!first.contraction.empty())
      lines.push_back(
          first.rest.empty()
              ? fmt::format("    a product of matrices, {}: a library may run it where it is faster", first.contraction)
              : fmt::format(
                    "    begins with a product of matrices, {}: a library may run it where that and {} are faster",
                    first.contraction, first.rest));
    for (const KernelReport& each : kernels)
      if (each.image == first.image && each.phase.symbol == first.phase.symbol)
        lines.push_back("    " + resources(each));
  }
  return lines;
}

}  // namespace placewright
