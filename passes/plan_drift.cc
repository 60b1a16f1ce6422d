// What differs between two plans, by class, each with what caused it.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include <fmt/core.h>

#include "placewright/passes/plan_file.h"

namespace placewright {
namespace {

std::string text(const std::vector<DeviceId>& devices) {
  std::string out;
  for (const DeviceId& device : devices) out += (out.empty() ? "" : ", ") + device.to_string();
  return out;
}

std::string at(const SourceSite& site) { return site.file.empty() ? "" : " at " + site.to_string(); }

// With more digits than people need elsewhere: small differences have to be seen.
std::string duration(int64_t nanoseconds) {
  const auto time = static_cast<double>(nanoseconds);
  if (nanoseconds < 10'000) return fmt::format("{} ns", nanoseconds);
  if (nanoseconds < 10'000'000) return fmt::format("{:.5g} us", time * 1e-3);
  return nanoseconds < 10'000'000'000 ? fmt::format("{:.5g} ms", time * 1e-6) : fmt::format("{:.5g} s", time * 1e-9);
}

std::string figures(const Link& link) {
  return fmt::format("{:.3g} GB/s and {:.3g} us", link.bytes_per_second * 1e-9, link.latency_seconds * 1e6);
}

std::string ends(const Link& link) { return fmt::format("{} -> {}", link.from.to_string(), link.to.to_string()); }

// A link as another plan has it; null: it has none.
const Link* same_link(const PlanHeader& header, const Link& link) {
  auto at = std::find_if(header.links.begin(), header.links.end(),
                         [&](const Link& other) { return other.from == link.from && other.to == link.to; });
  return at == header.links.end() ? nullptr : &*at;
}

class DriftFinder {
 public:
  DriftFinder(const PlanFile& before, const PlanFile& after, double tolerance)
      : before_(before), after_(after), tolerance_(tolerance), inputs_(changed_inputs()) {}

  std::vector<Drift> run() {
    compare_ops();
    compare_transfers();
    compare_relief();
    compare_peaks();
    compare_times();
    compare_headers();
    std::stable_sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
      return std::tuple(a.drift.kind, -a.weight) < std::tuple(b.drift.kind, -b.weight);
    });
    std::vector<Drift> drifts;
    for (Found& found : found_) drifts.push_back(std::move(found.drift));
    return drifts;
  }

 private:
  struct Found {
    Drift drift;
    int64_t weight = 0;  // the larger the earlier
  };
  using Row = PlanFile::Row;

  void add(DriftClass kind, std::string what, const SourceSite& site, std::string was, std::string now,
           std::string cause, int64_t weight = 0) {
    found_.push_back({{kind, std::move(what), site, std::move(was), std::move(now), std::move(cause)}, weight});
  }

  // What the planner was given that is not the same: the last resort of every cause.
  std::string changed_inputs() const {
    const PlanHeader &a = before_.header, &b = after_.header;
    std::string text;
    auto list = [&](const std::string& what) { text += (text.empty() ? "" : "; ") + what; };
    for (const auto& [symbol, size] : b.symbols)
      if (auto old = a.symbols.find(symbol); old == a.symbols.end() || old->second != size)
        list(fmt::format("{} is {}{}", symbol, size,
                         old == a.symbols.end() ? "" : fmt::format(", was {}", old->second)));
    for (const auto& [symbol, size] : a.symbols)
      if (!b.symbols.contains(symbol)) list(fmt::format("{} is gone, was {}", symbol, size));
    if (a.model_hash != b.model_hash) list("the model changed");
    for (const std::string& change : machine_changes()) list(change);
    if (a.profile_hash != b.profile_hash)
      list(a.profile_hash == "none"   ? "costs are measured now, were estimated"
           : b.profile_hash == "none" ? "costs are estimated now, were measured"
                                      : "the profile changed");
    if (a.compiler_hash != b.compiler_hash)
      list(fmt::format("the compiler changed ({} to {})", a.compiler, b.compiler));
    return text;
  }

  std::vector<std::string> machine_changes() const {
    std::vector<std::string> changes;
    const PlanHeader &a = before_.header, &b = after_.header;
    if (a.machine_hash == b.machine_hash) return changes;
    for (const PlanHeader::Device& device : b.devices) {
      auto same =
          std::find_if(a.devices.begin(), a.devices.end(), [&](const auto& old) { return old.id == device.id; });
      if (same == a.devices.end())
        changes.push_back(device.id.to_string() + " is new");
      else if (same->hash != device.hash)
        changes.push_back(device.id.to_string() + " is described otherwise");
    }
    for (const PlanHeader::Device& device : a.devices)
      if (std::none_of(b.devices.begin(), b.devices.end(), [&](const auto& now) { return now.id == device.id; }))
        changes.push_back(device.id.to_string() + " is gone");
    for (const Link& link : b.links) {
      const Link* old = same_link(a, link);
      if (!old)
        changes.push_back(fmt::format("the link {} is new", ends(link)));
      else if (!(*old == link))
        changes.push_back(fmt::format("the link {} is {}, was {}", ends(link), figures(link), figures(*old)));
    }
    for (const Link& link : a.links)
      if (!same_link(b, link)) changes.push_back(fmt::format("the link {} is gone", ends(link)));
    if (changes.empty()) changes.emplace_back("the machine's file changed");
    return changes;
  }

  std::string inputs_or(const std::string& text) const { return inputs_.empty() ? text : inputs_; }

  // Why an op stands elsewhere: a pin that came, went or moved; the op that it follows; what the planner was given.
  std::string cause_of_move(const Row& was, const Row& now) const {
    const std::string here = text(now.devices);
    if (now.is_pin()) return fmt::format("pinned to {} at {}:{}", here, after_.name, now.line);
    if (now.cause == "pinned") return fmt::format("placed on {}{}", here, at(now.pinned));
    if (was.is_pin()) return fmt::format("the pin to {} at {}:{} is gone", text(was.devices), before_.name, was.line);
    if (was.cause == "pinned") return fmt::format("the pin to {}{} is gone", text(was.devices), at(was.pinned));
    if (!now.reason.empty()) return now.reason;
    if (now.cause == "only_device") return "no other device can run it now";
    return fmt::format("cheaper there now: {}", inputs_or("its neighbours moved"));
  }

  void compare_ops() {
    for (const Row& now : after_.rows) {
      const Row* was = before_.find(now.key);
      if (!was) {
        added_.insert(now.key);
        if (!is_at_home(now)) add(DriftClass::device, now.key, now.site, "no such op", text(now.devices), new_op(now));
        if (is_at_home(now)) add(DriftClass::cosmetic, now.key, now.site, "no such op", text(now.devices), new_op(now));
      } else if (was->devices != now.devices) {
        moved_[now.key] = cause_of_move(*was, now);
        add(DriftClass::device, now.key, now.site, text(was->devices), text(now.devices), moved_[now.key]);
      } else {
        compare_details(*was, now);
      }
    }
    for (const Row& was : before_.rows) {
      if (after_.find(was.key)) continue;
      DriftClass kind = is_at_home(was) ? DriftClass::cosmetic : DriftClass::device;
      add(kind, was.key, was.site, text(was.devices), "no such op", inputs_or("the model changed"));
    }
  }

  // Ops that come and go on the first device, the host, move nothing.
  bool is_at_home(const Row& row) const {
    const std::vector<PlanHeader::Device>& devices = after_.header.devices;
    return !devices.empty() && row.devices == std::vector<DeviceId>{devices.front().id};
  }

  std::string new_op(const Row& now) const {
    return "a new op" + at(now.site) + (now.reason.empty() ? "" : ": " + now.reason);
  }

  void compare_details(const Row& was, const Row& now) {
    auto cosmetic = [&](std::string a, std::string b, const std::string& cause) {
      add(DriftClass::cosmetic, now.key, now.site, std::move(a), std::move(b), cause);
    };
    if (was.type != now.type) cosmetic(was.type, now.type, inputs_or("the model changed"));
    if (was.is_pin() != now.is_pin() || was.cause != now.cause)
      cosmetic(was.cause, now.cause,
               now.is_pin()            ? fmt::format("the pin at {}:{}", after_.name, now.line)
               : now.cause == "pinned" ? "the program's pin" + at(now.pinned)
                                       : inputs_or("another reason for the same device"));
    if (was.site != now.site) cosmetic(was.site.to_string(), now.site.to_string(), "its line moved");
    if (was.cause == now.cause && was.pinned != now.pinned)
      cosmetic("pinned" + at(was.pinned), "pinned" + at(now.pinned), "its pin is said on another line");
    if (was.nanoseconds != now.nanoseconds)
      time(now.key, now.site, was.nanoseconds, now.nanoseconds,
           inputs_or(was.type == now.type ? "another estimate" : "another type"), false);
  }

  // An op's time is class time only where the step's is.
  void time(const std::string& what, const SourceSite& site, int64_t was, int64_t now, const std::string& cause,
            bool is_step) {
    bool matters = is_step ? exceeds(was, now) : step_drifts() && exceeds(was, now);
    add(matters ? DriftClass::time : DriftClass::cosmetic, what, site, duration(was), duration(now), cause,
        is_step ? INT64_MAX : std::abs(now - was));
  }

  bool exceeds(int64_t was, int64_t now) const {
    auto difference = static_cast<double>(std::abs(now - was));
    return difference > tolerance_ * static_cast<double>(std::max<int64_t>(was, 1)) && difference > 0;
  }

  bool step_drifts() const { return exceeds(before_.nanoseconds, after_.nanoseconds); }

  void compare_transfers() {
    using Key = std::tuple<std::string, DeviceId, DeviceId, bool>;
    struct Copies {
      int64_t bytes = 0;
      SourceSite site;
      std::string why;
    };
    std::map<Key, std::pair<Copies, Copies>> all;
    auto collect = [&](const PlanFile& plan, Copies std::pair<Copies, Copies>::* side) {
      for (const PlanFile::Transfer& transfer : plan.transfers) {
        Copies& copies = all[{transfer.key, transfer.from, transfer.to, transfer.at_load}].*side;
        copies.bytes += transfer.bytes;
        copies.site = transfer.site;
        copies.why = transfer.why;
      }
    };
    collect(before_, &std::pair<Copies, Copies>::first);
    collect(after_, &std::pair<Copies, Copies>::second);
    for (const auto& [key, copies] : all) {
      const auto& [was, now] = copies;
      const auto& [value, from, to, at_load] = key;
      std::string what =
          fmt::format("{} {} -> {} {}", value, from.to_string(), to.to_string(), at_load ? "once" : "step");
      if (was.bytes != now.bytes)
        add(DriftClass::bytes, what, now.bytes > 0 ? now.site : was.site, bytes(was.bytes), bytes(now.bytes),
            cause_of_copy(value, now.bytes > 0 ? now.why : was.why), std::abs(now.bytes - was.bytes));
      else if (was.why != now.why || was.site != now.site)
        add(DriftClass::cosmetic, what, now.site, was.why + at(was.site), now.why + at(now.site), "another reader");
    }
  }

  static std::string bytes(int64_t count) { return fmt::format("{} bytes", count); }

  std::string cause_of_copy(const std::string& value, const std::string& why) const {
    if (auto moved = moved_.find(value); moved != moved_.end()) return moved->second;
    const Row *was = before_.find(value), *now = after_.find(value);
    if (was && now && was->type != now->type)
      return fmt::format("it is {}, was {}: {}", now->type, was->type, inputs_or("the model changed"));
    for (const auto& [op, cause] : moved_)
      if (const Row* row = after_.find(op);
          row && !row->site.file.empty() && why.find(row->site.to_string()) != why.npos)
        return fmt::format("{}; {} moved: {}", why, op, cause);
    if (!moved_.empty()) return fmt::format("{}; {} moved: {}", why, moved_.begin()->first, moved_.begin()->second);
    return why + (inputs_.empty() ? "" : "; " + inputs_);
  }

  std::string cause_of_total() const {
    if (!moved_.empty())
      return fmt::format("{}{} moved: {}", moved_.begin()->first,
                         moved_.size() > 1 ? fmt::format(" and {} more", moved_.size() - 1) : "",
                         moved_.begin()->second);
    if (!added_.empty()) return fmt::format("{} is new; {}", *added_.begin(), inputs_or("the model changed"));
    return inputs_or("the file was edited");
  }

  // What is freed in another way, or not at all: the time that it takes has changed.
  void compare_relief() {
    using Key = std::tuple<std::string, SourceSite, DeviceId>;
    std::map<Key, std::pair<std::string, std::string>> all;
    auto collect = [&](const PlanFile& plan, std::string std::pair<std::string, std::string>::* side) {
      for (const PlanFile::Relief& relief : plan.relief) {
        std::string& how = all[{relief.what, relief.site, relief.device}].*side;
        how += (how.empty() ? "" : ", ") + relief.how;
      }
    };
    collect(before_, &std::pair<std::string, std::string>::first);
    collect(after_, &std::pair<std::string, std::string>::second);
    for (const auto& [key, how] : all) {
      const auto& [what, site, device] = key;
      auto text = [](const std::string& said) { return said.empty() ? std::string("stays in memory") : said; };
      if (how.first != how.second)
        add(DriftClass::time, fmt::format("{} in the memory of {}", what, device.to_string()), site, text(how.first),
            text(how.second), cause_of_total());
    }
  }

  void compare_peaks() {
    std::map<DeviceId, std::pair<int64_t, int64_t>> peaks;
    for (const PlanFile::Peak& peak : before_.peaks) peaks[peak.device].first = peak.bytes;
    for (const PlanFile::Peak& peak : after_.peaks) peaks[peak.device].second = peak.bytes;
    for (const auto& [device, both] : peaks)
      if (both.first != both.second)
        add(DriftClass::peak, "peak of " + device.to_string(), {}, bytes(both.first), bytes(both.second),
            cause_of_total(), std::abs(both.second - both.first));
  }

  void compare_times() {
    if (before_.nanoseconds != after_.nanoseconds)
      time("step", {}, before_.nanoseconds, after_.nanoseconds, cause_of_total(), true);
    if (before_.bytes_per_step != after_.bytes_per_step)
      add(DriftClass::bytes, "all copies of a step", {}, bytes(before_.bytes_per_step), bytes(after_.bytes_per_step),
          cause_of_total(), INT64_MAX);
    if (before_.bytes_at_load != after_.bytes_at_load)
      add(DriftClass::bytes, "all copies at load", {}, bytes(before_.bytes_at_load), bytes(after_.bytes_at_load),
          cause_of_total(), INT64_MAX - 1);
  }

  void compare_headers() {
    const PlanHeader &a = before_.header, &b = after_.header;
    auto header = [&](const char* what, const std::string& was, const std::string& now, const std::string& cause) {
      if (was != now) add(DriftClass::cosmetic, what, {}, was, now, cause);
    };
    header("model", a.model_hash, b.model_hash, "the captured graph is another text");
    std::string machine;
    for (const std::string& change : machine_changes()) machine += (machine.empty() ? "" : "; ") + change;
    header("machine", a.machine_hash, b.machine_hash, machine);
    header("profile", a.profile_hash, b.profile_hash, "other measured costs");
    header("compiler", a.compiler_hash, b.compiler_hash, fmt::format("{} to {}", a.compiler, b.compiler));
    header("objective", before_.objective, after_.objective,
           inputs_or("where ops stand was not chosen: a plan was followed"));
  }

  const PlanFile &before_, &after_;
  double tolerance_;
  std::string inputs_;
  std::map<std::string, std::string> moved_;  // ops, and why
  std::set<std::string> added_;
  std::vector<Found> found_;
};

}  // namespace

std::string_view name(DriftClass drift) {
  switch (drift) {
    case DriftClass::device:
      return "device";
    case DriftClass::bytes:
      return "bytes";
    case DriftClass::peak:
      return "peak";
    case DriftClass::time:
      return "time";
    case DriftClass::cosmetic:
      return "cosmetic";
  }
  return "";
}

std::vector<Drift> find_drift(const PlanFile& before, const PlanFile& after, double tolerance) {
  return DriftFinder(before, after, tolerance).run();
}

}  // namespace placewright
