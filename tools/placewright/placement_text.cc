// The report for people at a terminal.
#include <algorithm>
#include <map>

#include <fmt/core.h>

#include "command.h"
#include "flip_search.h"
#include "report_text.h"

namespace placewright::tools {
namespace {

constexpr size_t most_loads = 8;  // alike, that are listed one by one

class TextReport : ReportText {
 public:
  TextReport(const PlacementReport& report, bool every_op, bool colour)
      : ReportText(report, colour), every_op_(every_op) {}

  std::string run() {
    summary();
    devices();
    text_ += placement_ops_text(report_, every_op_, colour_);
    cuts();
    ledger();
    memory();
    relief();
    kernels();
    pins();
    islands();
    hints();
    list("Absent", plan_.absent);
    std::vector<std::pair<std::string, int>> conflicts;  // layers of a stack have the same ones
    for (const PinConflict& conflict : plan_.conflicts) {
      auto at = std::find_if(conflicts.begin(), conflicts.end(),
                             [&](const auto& known) { return known.first == conflict.message; });
      if (at == conflicts.end())
        conflicts.emplace_back(conflict.message, 1);
      else
        ++at->second;
    }
    std::vector<std::string> rows;
    for (const auto& [message, count] : conflicts)
      rows.push_back(count == 1 ? message : fmt::format("{} times: {}", count, message));
    list("Conflicts of pins", rows);
    return std::move(text_);
  }

 private:
  static std::string shortened(const std::string& text, size_t most) {
    return text.size() <= most ? text : text.substr(0, most - 3) + "...";
  }

  void summary() {
    text_ +=
        shown_bold(fmt::format("{} on {}", report_.model, report_.machine.empty() ? "this machine" : report_.machine)) +
        "\n";
    if (report_.proof && report_.proof->is_simulated)
      line(fmt::format("All op times and transfers of a step add up to {}; its devices work at once.",
                       duration_text(plan_.seconds)));
    else if (plan_.seconds > 0)
      line(fmt::format("A step takes {}{} ({}).", duration_text(plan_.seconds), read_text(), plan_.objective));
    else
      line(fmt::format("Objective: {}.", plan_.objective));
    if (report_.proof && report_.proof->chosen_seconds > 0) line(proof_text(*report_.proof));
    if (report_.radius) line(radius_text(*report_.radius));
    if (report_.timeline.seconds > 0)
      line(fmt::format("Simulated, devices and links side by side: {}.", duration_text(report_.timeline.seconds)));
    line(fmt::format("Copied between devices: {} in every step, {} once, at load.", bytes_text(plan_.bytes_per_step),
                     bytes_text(plan_.bytes_at_load)));
  }

  std::string read_text() const {
    const double more = read_back_seconds(plan_);
    return more > 0 ? fmt::format(", {} with its results read on the host", duration_text(plan_.seconds + more)) : "";
  }

  std::string proof_text(const PlacementProof& proof) const {
    const std::string chosen = duration_text(proof.chosen_seconds), bound = duration_text(proof.bound_seconds);
    const std::string relief =
        proof.relief_seconds > 0
            ? fmt::format(", {} of it for what leaves memory and comes back", duration_text(proof.relief_seconds))
            : "";
    if (proof.is_simulated)
      return fmt::format(
          "Within {:.3g}% of what no placement undercuts: the last device is done, and its results are on the host, "
          "after {}, not before {}. In the sum of all times, {}{}, it is within {:.3g}% of the least. {}",
          proof.gap() * 100, chosen, bound, duration_text(proof.sum_seconds), relief, proof.sum_gap() * 100,
          least_sum_text(*proof.least_sum));
    std::string text =
        proof.is_optimal ? fmt::format(
                               "Optimal by these prices: the flow of a minimum cut proves that no placement takes "
                               "less than {}, with its results read on the host.",
                               chosen)
                         : fmt::format(
                               "Within {:.3g}% of optimal by these prices: with its results read on the host it takes "
                               "{}{}, and no placement less than {}.",
                               proof.gap() * 100, chosen, relief, bound);
    if (proof.priced > 1 && !plan_.solved->is_limited)
      text += fmt::format(" Of {} placements priced as compiled none takes less.", proof.priced);
    return text;
  }

  static std::string least_sum_text(const LeastSumPlacement& least) {
    const std::string proven = least.is_optimal()
                                   ? "a minimum cut proves it by its own prices"
                                   : fmt::format("none takes less than {}", duration_text(least.bound_seconds));
    return fmt::format("By that sum alone another placement would be taken: {} ({}), done after {}.",
                       duration_text(least.seconds), proven, duration_text(least.done_seconds));
  }

  std::string radius_text(const PlacementRadius& radius) const {
    if (radius.relative == 0) return "Other placements cost as much: any error of a cost may make one of them better.";
    std::string text =
        fmt::format("{} while no cost errs by more than {:.2g}%",
                    radius.is_proven ? "It stays optimal" : "No better placement is known", radius.relative * 100);
    for (size_t i = 0; i < std::min<size_t>(radius.ops.size(), 3); ++i)
      text += fmt::format("{}{}", i == 0 ? "; what decides is the time of " : ", ", shown_op(radius.ops[i]));
    return text + ".";
  }

  const DeviceMemory* memory_of(const DeviceId& id) const {
    for (const DeviceMemory& memory : report_.memory)
      if (memory.device == id) return &memory;
    return nullptr;
  }

  void devices() {
    heading("Devices");
    for (const DeviceSpec& spec : report_.placed.machine.devices) {
      size_t count = 0;
      double busy = 0;
      for (const OpPlacement& op : plan_.ops)
        if (op.where.devices.front() == spec.id) {
          ++count;
          busy += op.seconds;
        }
      const DeviceMemory* memory = memory_of(spec.id);
      std::string row = fmt::format("  {}  {:<28}  {:>10}  {:>8}  {}", device_column(spec.id), shortened(spec.name, 28),
                                    plural(count, "op"), busy > 0 ? duration_text(busy) : "",
                                    memory ? "peak " + bytes_text(memory->peak_bytes) : "");
      text_ += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
    }
  }

  void cuts() {
    if (report_.cuts.empty()) return;
    heading("Cut edges");
    for (const CutEdge& cut : report_.cuts) {
      std::string readers;
      if (!cut.readers.empty()) {
        const OpPlacement& reader = plan_.ops[cut.readers.front()];
        readers = fmt::format(", read by {}{}{}", reader.what,
                              reader.site.file.empty() ? "" : " (" + reader.site.to_string() + ")",
                              cut.readers.size() > 1 ? fmt::format(" and {} more", cut.readers.size() - 1) : "");
      }
      const OpPlacement& made = plan_.ops[cut.value.op];
      line(fmt::format("{} {} -> {}: {}{} made by {}{}{}", cut.at_load ? "once" : "step", device(cut.from),
                       device(cut.to), bytes_text(cut.bytes),
                       cut.seconds > 0 ? ", " + duration_text(cut.seconds) + "," : ",", made.what,
                       made.site.file.empty() ? "" : " (" + made.site.to_string() + ")", readers),
           2, 4);
    }
  }

  void ledger() {
    heading(fmt::format("Transfer ledger: {} a step, {} at load", bytes_text(plan_.bytes_per_step),
                        bytes_text(plan_.bytes_at_load)));
    std::map<std::string, std::vector<const PlannedTransfer*>> loads;  // by from, to and why
    auto key = [](const PlannedTransfer& transfer) {
      return fmt::format("{} -> {} {}", transfer.from.to_string(), transfer.to.to_string(), transfer.why);
    };
    for (const PlannedTransfer& transfer : plan_.transfers)
      if (transfer.at_load) loads[key(transfer)].push_back(&transfer);
    for (const PlannedTransfer& transfer : plan_.transfers) {
      if (transfer.at_load && !every_op_ && loads[key(transfer)].size() > most_loads) {
        if (loads[key(transfer)].front() == &transfer) print_loads(loads[key(transfer)]);
        continue;
      }
      line(fmt::format("{} {} {} -> {} {}{}: {}{}", transfer.at_load ? "once" : "step", transfer.what,
                       device(transfer.from), device(transfer.to), bytes_text(transfer.bytes),
                       transfer.seconds > 0 ? ", " + duration_text(transfer.seconds) : "", transfer.why,
                       transfer.site.file.empty() ? "" : ", " + transfer.site.to_string()),
           2, 4);
    }
  }

  void print_loads(const std::vector<const PlannedTransfer*>& loads) {
    int64_t bytes = 0;
    for (const PlannedTransfer* load : loads) bytes += load->bytes;
    line(fmt::format("once {}, {} ... {} {} -> {} {}: {}, each of them", plural(loads.size(), "value"),
                     loads.front()->what, loads.back()->what, device(loads.front()->from), device(loads.front()->to),
                     bytes_text(bytes), loads.front()->why),
         2, 4);
  }

  // Bytes over the launches of a step in 64 columns, each its largest.
  std::string chart(const DeviceMemory& memory) const {
    constexpr int columns = 64;
    static constexpr const char* bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const auto launches = static_cast<int64_t>(report_.launches.size()) + 1;
    std::vector<int64_t> largest(columns, 0);
    for (size_t i = 0; i < memory.points.size(); ++i) {
      int64_t begin = memory.points[i].launch;
      int64_t end = i + 1 < memory.points.size() ? memory.points[i + 1].launch : launches;
      for (int64_t c = begin * columns / launches; c <= std::min<int64_t>((end * columns - 1) / launches, columns - 1);
           ++c)
        largest[c] = std::max(largest[c], memory.points[i].bytes);
    }
    std::string text;
    for (int64_t bytes : largest)
      text += bars[memory.peak_bytes > 0 ? (bytes * 8 + memory.peak_bytes - 1) / memory.peak_bytes : 0];
    return text;
  }

  void pins() {
    if (report_.pins.empty()) return;
    heading("Prices of pins");
    for (const PinPrice& pin : report_.pins) {
      std::string price = "without it there is no placement";
      if (pin.seconds)
        price = *pin.seconds > 0   ? fmt::format("a step takes {} longer for it", duration_text(*pin.seconds))
                : *pin.seconds < 0 ? fmt::format("a step takes {} less for it", duration_text(-*pin.seconds))
                                   : "free";
      line(fmt::format("{} at {}, {}: {}", device(pin.device), pin.site.to_string(), plural(pin.ops, "op"), price), 2,
           4);
    }
  }

  void islands() {
    constexpr size_t most = 6;
    size_t told = 0;
    for (const PlacementIsland& island : report_.islands) {
      if (told == most) break;
      if (told++ == 0) heading("Islands: what a step would take longer with all of one elsewhere");
      std::string costs;
      for (const auto& [id, seconds] : island.elsewhere)
        costs += fmt::format("{}{} on {}", costs.empty() ? "" : ", ", duration_text(seconds), device(id));
      line(fmt::format("{}, {} from {} to {}: {}", device(island.device), plural(island.ops.size(), "op"),
                       shown_op(island.ops.front()), shown_op(island.ops.back()), costs),
           2, 4);
    }
  }

  void hints() {
    std::vector<std::string> rows;
    for (const PlacementHint& hint : report_.hints)
      rows.push_back(hint.seconds > 0 ? fmt::format("{} less: {}", duration_text(hint.seconds), hint.text) : hint.text);
    list("Hints", rows);
  }

  void memory() {
    heading("Memory over the launches of a step");
    if (!report_.unplanned_memory.empty()) line(report_.unplanned_memory, 2);
    for (const DeviceMemory& memory : report_.memory) {
      const bool is_launch = memory.peak_launch < static_cast<int32_t>(report_.launches.size());
      text_ += fmt::format("  {}  {}\n", device_column(memory.device), chart(memory));
      line(fmt::format("peak {}{} at {}; arena {}{}; a step runs with {} bytes", bytes_text(memory.peak_bytes),
                       memory.capacity_bytes > 0 ? " of " + bytes_text(memory.capacity_bytes) : "",
                       is_launch ? report_.launches[memory.peak_launch] : "the end of the step",
                       bytes_text(memory.arena_bytes),
                       memory.workspace_bytes > 0 ? "; workspaces " + bytes_text(memory.workspace_bytes) : "",
                       memory.needed_bytes),
           4);
      for (size_t i = 0; i < std::min<size_t>(memory.holders.size(), 5); ++i) {
        const MemoryHolder& holder = memory.holders[i];
        line(fmt::format("{}  {}, {}{}", bytes_text(holder.bytes), holder.what, holder.kind,
                         holder.site.file.empty() ? "" : ", " + holder.site.to_string()),
             6, 8);
      }
    }
  }

  void relief() {
    std::vector<std::string> rows;
    for (const ReliefStep& step : plan_.relief) rows.push_back(describe(step));
    list("What leaves memory, and comes back", rows);
  }

  void kernels() { text_ += kernels_text(report_.kernels, colour_); }

  bool every_op_;
};

}  // namespace

std::string placement_text(const PlacementReport& report, bool every_op, bool colour) {
  return TextReport(report, every_op, colour).run();
}

}  // namespace placewright::tools
