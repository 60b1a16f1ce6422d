// What `placewright fit` found, for people.
#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "fit.h"
#include "placewright/base/join.h"

namespace placewright::tools {
namespace {

constexpr int width = 100;

std::string line(std::string_view text, int indent = 0) {
  return wrapped(std::string(static_cast<size_t>(indent), ' ') + std::string(text), width, indent + 2) + "\n";
}

std::string limit_text(const StepShare& share) {
  switch (share.limit) {
    case StepLimit::link:
      return fmt::format("link {} -> {}", share.device.to_string(), share.to.to_string());
    case StepLimit::launches:
      return fmt::format("launches on {}", share.device.to_string());
    default:
      return fmt::format("{} of {}", name(share.limit), share.device.to_string());
  }
}

// The largest parts, until they are most of it.
std::string bounds_text(const StepForecast& step, size_t most) {
  std::vector<std::string> parts;
  double sum = 0;
  for (const StepShare& share : step.shares) {
    if (parts.size() == most || (!parts.empty() && sum >= 0.95 * step.seconds)) break;
    parts.push_back(fmt::format("{} {:.0f}%", limit_text(share), 100 * share.seconds / step.seconds));
    sum += share.seconds;
  }
  return join(parts, ", ");
}

std::string loss_text(double loss) {
  if (std::abs(loss) < 0.005) return "as long as with any amount of memory";
  return loss < 0 ? fmt::format("{:.3g} times as fast as with any amount of memory", 1 / (1 + loss))
                  : fmt::format("{:.3g} times as long as with any amount of memory", 1 + loss);
}

std::string holder_text(const MemoryHolder& holder) {
  return fmt::format("{} {} {}{}", holder.kind, holder.what, bytes_text(holder.bytes),
                     holder.site.file.empty() ? "" : " (" + holder.site.to_string() + ")");
}

class TextReport {
 public:
  explicit TextReport(const FitReport& report) : report_(report) {}

  std::string run() {
    const FitModel& model = *report_.model;
    const std::vector<std::string>& bounds = model.at_bound();
    std::string title = bold(report_.file);
    for (const auto& [symbol, size] : model.symbols())
      title += fmt::format(", {}={}{}", symbol, size,
                           std::find(bounds.begin(), bounds.end(), symbol) == bounds.end() ? "" : " (its bound)");
    if (model.batch().asked > 0 && !model.symbols().contains(model.batch().name))
      title += fmt::format(", batch {} by '{}'", model.batch().asked, model.batch().name);
    text_ += title + "\n";
    for (const FitRow& row : report_.rows) machine(row);
    return std::move(text_);
  }

 private:
  void machine(const FitRow& row) {
    text_ += "\n" + bold(row.name) + ": " + verdict_text(row) + "\n";
    if (!row.plan.is_made()) {
      text_ += line(row.cause, 2);
      return;
    }
    memory(row);
    if (row.plan.step.seconds > 0)
      text_ += line(
          fmt::format("a step takes {}: {}", duration_text(row.plan.step.seconds), bounds_text(row.plan.step, 5)), 2);
    if (row.verdict == FitVerdict::too_large && !row.cause.empty()) text_ += line("place says: " + row.cause, 2);
    changes(row);
    for (const std::string& cause : row.unasked) text_ += line("no answer for " + cause, 2);
  }

  static std::string verdict_text(const FitRow& row) {
    switch (row.verdict) {
      case FitVerdict::fits:
        return "fits";
      case FitVerdict::squeezed:
        return fmt::format("fits, squeezed: with more memory a step would take {}",
                           duration_text(row.freely.step.seconds));
      case FitVerdict::too_large:
        return "does not fit; with memory without end it would be so:";
      case FitVerdict::refused:
        return "cannot run";
    }
    return "";
  }

  void memory(const FitRow& row) {
    size_t widest = 0;
    for (const DeviceMemory& device : row.plan.memory) widest = std::max(widest, device.device.to_string().size());
    for (const DeviceMemory& device : row.plan.memory) {
      const bool is_over = device.capacity_bytes > 0 && device.needed_bytes > device.capacity_bytes;
      text_ +=
          line(fmt::format("{:{}}  needs {} of {}{}", device.device.to_string(), widest,
                           bytes_text(device.needed_bytes), bytes_text(device.capacity_bytes),
                           is_over ? ": " + bytes_text(device.needed_bytes - device.capacity_bytes) + " too much" : ""),
               2);
      if (row.verdict == FitVerdict::fits) continue;
      if (!is_over && row.verdict == FitVerdict::too_large) continue;
      std::vector<std::string> holders;
      for (size_t i = 0; i < std::min<size_t>(3, device.holders.size()); ++i)
        holders.push_back(holder_text(device.holders[i]));
      if (!holders.empty()) text_ += line("holds most: " + join(holders, ", "), 4);
    }
    if (!row.plan.unplanned_memory.empty()) text_ += line("memory unknown: " + row.plan.unplanned_memory, 2);
  }

  void changes(const FitRow& row) {
    if (row.changes.empty()) return;
    text_ += line("what would do, least loss of time first:", 2);
    for (const FitChange& change : row.changes)
      text_ += line(
          fmt::format("{}{}: {}; a step takes {}, the same work {}, {}", change.kind,
                      change.value.empty() ? "" : " " + change.value, change.text,
                      duration_text(change.plan.step.seconds), duration_text(change.seconds), loss_text(change.loss)),
          4);
  }

  const FitReport& report_;
  std::string text_;
};

}  // namespace

std::string fit_text(const FitReport& report) { return TextReport(report).run(); }

}  // namespace placewright::tools
