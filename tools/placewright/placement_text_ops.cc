// Where each op runs and why: ops that one line of a module made, and that are where they are for one reason, together.
#include <algorithm>
#include <map>
#include <utility>

#include <fmt/core.h>

#include "command.h"
#include "report_text.h"

namespace placewright::tools {
namespace {

// Ops that are told of together.
struct Entry {
  std::vector<const OpPlacement*> ops;
  double seconds = 0;
};

class OpsText : ReportText {
 public:
  OpsText(const PlacementReport& report, bool every_op, bool colour)
      : ReportText(report, colour), every_op_(every_op) {}

  std::string run() {
    std::map<std::string, size_t> module_numbers;
    std::vector<std::pair<std::string, std::vector<Entry>>> modules;
    std::map<std::pair<size_t, std::string>, size_t> numbers;
    for (const OpPlacement& op : plan_.ops) {
      const std::string& module = report_.modules[op.op];
      size_t number = module_numbers.try_emplace(module, modules.size()).first->second;
      if (number == modules.size()) modules.emplace_back(module, std::vector<Entry>());
      std::vector<Entry>& entries = modules[number].second;
      size_t entry = numbers.try_emplace({number, key(op)}, entries.size()).first->second;
      if (entry == entries.size()) entries.emplace_back();
      entries[entry].ops.push_back(&op);
      entries[entry].seconds += op.seconds;
    }
    heading("Ops");
    std::vector<std::pair<std::string, std::vector<std::string>>> kinds;  // text, and modules of which it is true
    std::map<std::string, size_t> kind_numbers;
    for (const auto& [module, entries] : modules) {
      std::string before = std::move(text_);
      text_.clear();
      for (const Entry& entry : entries) print(entry);
      std::string text = std::exchange(text_, std::move(before));
      std::string pattern = every_op_ ? module + text : without(text, module);
      size_t number = kind_numbers.try_emplace(std::move(pattern), kinds.size()).first->second;
      if (number == kinds.size()) kinds.emplace_back(std::move(text), std::vector<std::string>());
      kinds[number].second.push_back(module);
    }
    for (const auto& [text, alike] : kinds) {
      if (kinds.size() > 1 || !alike.front().empty()) line(shown_bold(module_heading(alike)), 2, 4);
      text_ += text;
    }
    return std::move(text_);
  }

 private:
  std::string key(const OpPlacement& op) const {
    std::string key = fmt::format("{}|{}|{}|{}|{}", name(report_.origin(op).role), op.site.file, op.site.line,
                                  op.where.devices.front().to_string(), op.reason);
    for (const RejectedDevice& rejected : op.rejected)
      key += fmt::format("|{} {} {}", rejected.device.to_string(), name(rejected.kind),
                         rejected.kind == RejectionKind::dearer ? "" : rejected.cause);
    return every_op_ ? key + "|" + std::to_string(op.op) : key;
  }

  // Layers of a stack differ in their names alone.
  static std::string without(std::string text, const std::string& module) {
    for (size_t at = 0; !module.empty() && (at = text.find(module, at)) != std::string::npos; at += 1)
      text.replace(at, module.size(), "*");
    std::erase(text, ' ');
    std::erase(text, '\n');
    return text;
  }

  static std::string module_heading(const std::vector<std::string>& alike) {
    std::string heading = alike.front().empty() ? "outside modules" : alike.front();
    if (alike.size() == 1) return heading;
    heading += fmt::format(", and {} like it: {}", alike.size() - 1, alike[1]);
    return alike.size() == 2 ? heading : heading + (alike.size() == 3 ? ", " : " ... ") + alike.back();
  }

  // "add, mul x 3"
  static std::string contents(const Entry& entry) {
    std::vector<std::pair<std::string, int>> counts;
    for (const OpPlacement* op : entry.ops) {
      auto at = std::find_if(counts.begin(), counts.end(), [&](const auto& count) { return count.first == op->what; });
      if (at == counts.end())
        counts.emplace_back(op->what, 1);
      else
        ++at->second;
    }
    std::string text;
    for (const auto& [what, count] : counts)
      text += (text.empty() ? "" : ", ") + what + (count > 1 ? fmt::format(" x {}", count) : "");
    return text;
  }

  void print(const Entry& entry) {
    const OpPlacement& first = *entry.ops.front();
    const DeviceId& on = first.where.devices.front();
    const std::string what = contents(entry), time = entry.seconds > 0 ? duration_text(entry.seconds) : "";
    const std::string site = first.site.file.empty() ? "" : first.site.to_string();
    constexpr size_t what_width = 44;
    if (what.size() > what_width) {
      line(what, 4, 6);
      text_ += fmt::format("    {:<{}}", "", what_width);
    } else {
      text_ += fmt::format("    {:<{}}", what, what_width);
    }
    std::string rest = fmt::format("  {}  {:>8}  {}", device_column(on), time, shown(site, 2));
    rest.erase(rest.find_last_not_of(' ') + 1);
    text_ += rest + "\n";
    line(first.reason, 6, 8);
    std::vector<std::pair<std::string, std::string>> causes;  // and devices of which each is true
    for (size_t i = 0; i < first.rejected.size(); ++i) {
      if (first.rejected[i].kind == RejectionKind::absent) continue;  // said once, at the end
      std::string cause = rejection(entry, i), device = first.rejected[i].device.to_string();
      auto at = std::find_if(causes.begin(), causes.end(), [&](const auto& known) { return known.first == cause; });
      if (at == causes.end())
        causes.emplace_back(std::move(cause), std::move(device));
      else
        at->second += ", " + device;
    }
    for (const auto& [cause, devices] : causes) line(fmt::format("not {}: {}", devices, cause), 6, 8);
  }

  static std::string rejection(const Entry& entry, size_t number) {
    const RejectedDevice& first = entry.ops.front()->rejected[number];
    double least = first.seconds, most = first.seconds;
    for (const OpPlacement* op : entry.ops) {
      least = std::min(least, op->rejected[number].seconds);
      most = std::max(most, op->rejected[number].seconds);
    }
    std::string cause = first.cause;
    if (first.kind == RejectionKind::dearer && entry.ops.size() > 1)
      cause = fmt::format("dearer by {}{} if one alone ran there", duration_text(least),
                          most > least ? " to " + duration_text(most) : "");
    else if (first.kind == RejectionKind::pinned || first.cause == entry.ops.front()->reason)
      cause = first.kind == RejectionKind::pinned ? "pinned" : "for the same reason";
    return cause;
  }

  bool every_op_;
};

}  // namespace

std::string placement_ops_text(const PlacementReport& report, bool every_op, bool colour) {
  return OpsText(report, every_op, colour).run();
}

}  // namespace placewright::tools
