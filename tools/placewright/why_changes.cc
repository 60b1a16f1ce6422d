// The smallest changes that put an op on another device. Every answer is a plan that was made again.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/core.h>

#include "command.h"
#include "flip_search.h"
#include "placewright/base/join.h"
#include "placewright/passes/graph_versions.h"
#include "placewright/passes/placement_sensitivity.h"
#include "three_digits.h"
#include "why_report.h"

namespace placewright::tools {
namespace {

class Explainer {
 public:
  Explainer(const GraphPlacement& placed, int32_t op)
      : placed_(placed), graph_(placed.planned), op_(op), search_(placed, op), solved_(search_.solved()) {}

  WhyReport run() {
    WhyReport report;
    report.placed = &placed_;
    report.op = op_;
    if (placed_.plan.seconds <= 0) return report;  // one device: nothing was weighed
    report.step_seconds = seconds(search_.now());
    if (solved_) find_island(report);
    find_pins();
    find_casts();
    for (const Alike& devices : others()) report.elsewhere.push_back(elsewhere(devices, report.island));
    report.searched = search_.how();
    return report;
  }

 private:
  static const DeviceId& device_of(const PlacementPlan& plan, int32_t op) { return plan.ops[op].where.devices.front(); }

  // --- devices

  bool are_alike(const DeviceId& a, const DeviceId& b) const {
    DeviceSpec one = placed_.machine.find(a), other = placed_.machine.find(b);
    one.id = other.id = {};
    return one == other;
  }

  std::vector<Alike> others() const {
    std::vector<Alike> others;
    for (const RejectedDevice& rejected : search_.now().ops[op_].rejected) {
      if (rejected.kind == RejectionKind::absent) continue;
      auto at = std::find_if(others.begin(), others.end(), [&](const Alike& known) {
        return are_alike(known.front(), rejected.device) && rejection(known.front()).kind == rejected.kind;
      });
      if (at == others.end())
        others.push_back({rejected.device});
      else
        at->push_back(rejected.device);
    }
    return others;
  }

  const RejectedDevice& rejection(const DeviceId& device) const {
    const std::vector<RejectedDevice>& all = search_.now().ops[op_].rejected;
    return *std::find_if(all.begin(), all.end(), [&](const RejectedDevice& row) { return row.device == device; });
  }

  // The same groups, labels and values, so that costs may be compared one by one.
  static bool same_shape(const SolvedPlacement& a, const SolvedPlacement& b) {
    if (a.group_of != b.group_of || a.devices != b.devices || a.sources != b.sources) return false;
    return a.problem.costs.size() == b.problem.costs.size();
  }

  // --- the answers

  ElsewhereReport elsewhere(const Alike& devices, const std::vector<int32_t>& island) {
    ElsewhereReport report{devices, rejection(devices.front()), {}, {}, {}};
    Graph pinned = graph_;
    pinned.main().ops[op_].pin = Pin{devices.front(), search_.now().ops[op_].site};
    if (std::optional<PlacementPlan> plan = search_.resolve(pinned, {placed_.machine, {}});
        FlipSearch::is_on(plan, op_, devices))
      report.pinned_seconds = seconds(*plan) - seconds(search_.now());
    if (!island.empty()) report.island_seconds = island_seconds(devices.front());
    report.changes = {cast(devices), link(devices), speed(devices), memory(devices), pin(devices)};
    return report;
  }

  // What plans are compared by is what the plan as it is was chosen by.
  double seconds(const PlacementPlan& plan) const { return step_seconds(plan, is_simulated(search_.now())); }

  int label(const DeviceId& device) const {
    return static_cast<int>(std::find(solved_->devices.begin(), solved_->devices.end(), device) -
                            solved_->devices.begin());
  }

  // Why costs do not decide; empty if they do.
  std::string given(const Alike& devices) const {
    if (are_alike(search_.here(), devices.front()))
      return fmt::format("it is like {}, where the op is: what changes one changes the other",
                         search_.here().to_string());
    if (!solved_) return "costs did not decide";
    const int group = solved_->group_of[op_];
    for (const DeviceId& device : devices)
      if (solved_->problem.costs[group][label(device)] < PlacementProblem::unrunnable) return "";
    const RejectedDevice& rejected = rejection(devices.front());
    if (rejected.kind == RejectionKind::no_kernel) return "it cannot run there: " + rejected.cause;
    return "costs do not decide: " + rejected.cause;
  }

  FlipChange refused(std::string kind, std::string why) const {
    return {std::move(kind), false, "none: " + std::move(why), 0, 0, {}, {}};
  }

  // Searched up to the most that is searched for.
  FlipChange not_found(std::string kind, const char* preposition, const char* what) const {
    if (search_.gave_up())
      return {
          std::move(kind), false, "not answered: the graph is too large to be planned again so often", 0, 0, {}, {}};
    return refused(std::move(kind),
                   fmt::format("not {} up to {:.0f} times {}", preposition, FlipSearch::most_times, what));
  }

  FlipChange found(std::string kind, std::string text, double now, double needed, std::string object,
                   const PlacementPlan& plan) const {
    return {
        std::move(kind), true, std::move(text), now, needed, std::move(object), seconds(plan) - seconds(search_.now())};
  }

  std::vector<Link*> links_between(Machine& machine, const Alike& devices) const {
    std::vector<Link*> links;
    auto is_there = [&](const DeviceId& id) { return std::find(devices.begin(), devices.end(), id) != devices.end(); };
    for (Link& link : machine.links)
      if ((is_there(link.to) && are_alike(link.from, search_.here())) ||
          (is_there(link.from) && are_alike(link.to, search_.here())))
        links.push_back(&link);
    return links;
  }

  FlipChange link(const Alike& devices) {
    if (std::string why = given(devices); !why.empty()) return refused("link", why);
    Machine machine = placed_.machine;
    std::vector<Link*> links = links_between(machine, devices);
    if (links.empty()) return refused("link", "there is no link between them: they share the host's memory");
    double now = std::numeric_limits<double>::infinity();
    for (const Link* link : links) now = std::min(now, link->bytes_per_second);
    FlipSearch::Figure figure;
    figure.at = [&](double gigabytes) {
      Machine faster = placed_.machine;
      for (Link* link : links_between(faster, devices))
        link->bytes_per_second = std::max(link->bytes_per_second, gigabytes * 1e9);
      return MachineFigures{std::move(faster), {}};
    };
    const std::optional<PlacementPlan> limit = search_.resolve(graph_, figure.at(1e21));
    const bool by_sums = search_.counts_sums() && limit && limit->solved && same_shape(*solved_, *limit->solved);
    if (by_sums)
      figure.problem_at = [&, base = limit->solved](int64_t index) {
        PlacementProblem problem = solved_->problem;
        const double gigabytes = three_digits(static_cast<int>(index));
        for (const Link* link : links) {
          const size_t move = static_cast<size_t>(label(link->from) * problem.labels + label(link->to));
          const double factor = std::min(1.0, link->bytes_per_second / (gigabytes * 1e9));
          for (size_t v = 0; v < problem.values.size(); ++v) {
            const int64_t least = base->problem.values[v].moves[move];
            int64_t& cost = problem.values[v].moves[move];
            cost = least + std::llround(static_cast<double>(cost - least) * factor);
          }
        }
        return problem;
      };
    const std::string ends = fmt::format("{} and {}", search_.here().to_string(), devices.front().to_string());
    if (std::optional<FlipSearch::Found> flip = search_.smallest(figure, now / 1e9, devices))
      return found("link",
                   fmt::format("{} GB/s or more between {}, each way (now {})", number_text(flip->number), ends,
                               number_text(now / 1e9)),
                   now / 1e9, flip->number, search_.here().to_string() + ":" + devices.front().to_string(), flip->plan);
    if (!by_sums) return not_found("link", "at", "the speed");
    return refused("link", "even at no time for a byte, " + longer(*limit->solved, devices.front()));
  }

  FlipChange speed(const Alike& devices) {
    if (std::string why = given(devices); !why.empty()) return refused("speed", why);
    FlipSearch::Figure figure;
    figure.at = [&](double times) {
      MachineFigures figures{placed_.machine, {}};
      for (const DeviceId& device : devices) figures.durations[device] = 1 / times;
      return figures;
    };
    if (search_.counts_sums())
      figure.problem_at = [&](int64_t index) {
        return with_durations(devices, 1 / three_digits(static_cast<int>(index)));
      };
    const std::string device = devices.front().to_string();
    if (std::optional<FlipSearch::Found> flip = search_.smallest(figure, 1, devices))
      return found("speed",
                   fmt::format("all ops on {} {} times as fast, launches included", device, number_text(flip->number)),
                   1, flip->number, device, flip->plan);
    if (!search_.counts_sums()) return not_found("speed", "at", "the speed");
    SolvedPlacement free{with_durations(devices, 0), solved_->devices, solved_->group_of, solved_->sources, {}};
    free.labels = solve_placement(free.problem).labels;
    return refused("speed", "even with all ops there at no time, " + longer(free, devices.front()));
  }

  PlacementProblem with_durations(const Alike& devices, double duration) const {
    PlacementProblem problem = solved_->problem;
    for (const DeviceId& device : devices)
      for (std::vector<int64_t>& costs : problem.costs)
        if (int64_t& cost = costs[label(device)]; cost < PlacementProblem::unrunnable)
          cost = std::llround(static_cast<double>(cost) * duration);
    return problem;
  }

  // "a step would take 3 us longer with it there: 5 us more to run, 2 us less to copy".
  std::string longer(const SolvedPlacement& solved, const DeviceId& device) const {
    const PlacementProblem& problem = solved.problem;
    const int group = solved.group_of[op_], to = label(device), from = solved.labels[group];
    const int64_t growth = flip_cost(problem, values_of_groups(problem), solved.labels, group, to);
    const int64_t running = problem.costs[group][to] - problem.costs[group][from];
    auto text = [](int64_t nanoseconds) { return duration_text(std::abs(static_cast<double>(nanoseconds)) * 1e-9); };
    auto change = [&](int64_t nanoseconds, const char* what) {
      return fmt::format("{} {} to {}", text(nanoseconds), nanoseconds < 0 ? "less" : "more", what);
    };
    if (growth <= 0) return fmt::format("no plan has it on {}, where a step would take no less", device.to_string());
    std::vector<std::string> parts;
    if (running != 0) parts.push_back(change(running, "run"));
    if (growth != running) parts.push_back(change(growth - running, "copy"));
    return fmt::format("a step would take {} longer with it on {}: {}", text(growth), device.to_string(),
                       join(parts, ", "));
  }

  FlipChange memory(const Alike& devices) {
    if (std::string why = given(devices); !why.empty()) return refused("memory", why);
    const std::string device = devices.front().to_string();
    const int64_t now = placed_.machine.find(devices.front()).memory_bytes;
    if (!solved_->is_limited || now <= 0) return refused("memory", "it is not what keeps the op off " + device);
    FlipSearch::Figure figure;
    figure.at = [&](double bytes) {
      MachineFigures figures{placed_.machine, {}};
      for (DeviceSpec& spec : figures.machine.devices)
        if (std::find(devices.begin(), devices.end(), spec.id) != devices.end())
          spec.memory_bytes = static_cast<int64_t>(bytes);
      return figures;
    };
    if (!FlipSearch::is_on(search_.resolve(graph_, figure.at(0)), op_, devices))  // 0: as much as is asked for
      return refused("memory", "with all that is asked for, other devices are still cheaper");
    std::optional<FlipSearch::Found> flip = search_.smallest(figure, static_cast<double>(now), devices);
    if (!flip) return not_found("memory", "with", "as much");
    return found("memory",
                 fmt::format("{} or more of memory on {} (now {})", bytes_text(static_cast<int64_t>(flip->number)),
                             device, bytes_text(now)),
                 static_cast<double>(now), flip->number, device, flip->plan);
  }

  // --- pins and dtypes: one plan each answers for all devices

  // A pin, or a rule that leaves an op some devices only or keeps it with others.
  struct WordDropped {
    std::string what;
    SourceSite site;
    std::optional<PlacementPlan> plan;
  };

  void find_pins() {
    constexpr size_t most = 16;
    std::vector<Pin> pins;  // the op's own first
    if (graph_.main().ops[op_].pin) pins.push_back(*graph_.main().ops[op_].pin);
    for (const Op& op : graph_.main().ops)
      if (op.pin && std::find(pins.begin(), pins.end(), *op.pin) == pins.end()) pins.push_back(*op.pin);
    words_ = pins.size();
    for (size_t i = 0; i < std::min(most, pins.size()); ++i) {
      size_t ops = 0;
      for (const Op& op : graph_.main().ops) ops += op.pin == pins[i];
      drop(fmt::format("the pin to {} at {} ({})", pins[i].device.to_string(), pins[i].site.to_string(),
                       plural(ops, "op")),
           pins[i].site, without_pin(graph_, pins[i].device, pins[i].site));
    }
    for (size_t i = 0; i < graph_.rules.size(); ++i) {
      const PlacementRule& rule = graph_.rules[i];
      if (rule.kind == PlacementRule::Kind::pin) continue;  // a pin of each op by now
      ++words_;
      if (dropped_.size() >= most) continue;
      Graph without = graph_;
      without.rules.erase(without.rules.begin() + static_cast<std::ptrdiff_t>(i));
      drop(fmt::format("the rule {} \"{}\" at {}", name(rule.kind), rule.pattern, rule.site.to_string()), rule.site,
           without);
    }
  }

  void drop(std::string what, const SourceSite& site, const Graph& without) {
    dropped_.push_back({std::move(what), site, search_.resolve(without, {placed_.machine, {}})});
  }

  FlipChange pin(const Alike& devices) const {
    if (words_ == 0) return refused("pin", "the program has no pin");
    for (const WordDropped& dropped : dropped_) {
      if (!FlipSearch::is_on(dropped.plan, op_, devices)) continue;
      const double more = seconds(*dropped.plan) - seconds(search_.now());
      std::string price = "it is free";
      if (more < 0) price = fmt::format("its price is {} a step", duration_text(-more));
      if (more > 0) price = fmt::format("a step takes {} longer without it", duration_text(more));
      return found("pin", fmt::format("without {}; {}", dropped.what, price), 0, 0, dropped.site.to_string(),
                   *dropped.plan);
    }
    std::vector<std::string> moves;
    for (const WordDropped& dropped : dropped_)
      if (dropped.plan && device_of(*dropped.plan, op_) != search_.here())
        moves.push_back(
            fmt::format("without {} it goes to {}", dropped.what, device_of(*dropped.plan, op_).to_string()));
    if (!moves.empty()) return refused("pin", join(moves, "; "));
    return refused("pin", words_ == 1 ? dropped_[0].what + " does not decide it"
                                      : fmt::format("no single one of {} pins and rules decides it", words_));
  }

  struct CastTried {
    DType dtype = DType::f32;
    int32_t op = -1;
    std::optional<PlacementPlan> plan;
  };

  void find_casts() {
    std::vector<DType> dtypes;  // the widest first
    for (const DTypeInfo& row : dtype_table())
      if (row.kind == DTypeKind::floating) (row.supported ? dtypes : untaken_).push_back(row.dtype);
    std::reverse(dtypes.begin(), dtypes.end());
    for (DType dtype : dtypes)
      if (std::optional<CastVersion> version = with_op_in(graph_, op_, dtype))
        casts_.push_back({dtype, version->op, search_.resolve(version->graph, {placed_.machine, {}})});
  }

  FlipChange cast(const Alike& devices) const {
    std::vector<std::string> names;
    const CastTried* nearest = nullptr;  // in the widest dtype
    for (const CastTried& tried : casts_)
      if (FlipSearch::is_on(tried.plan, tried.op, devices)) {
        if (!nearest) nearest = &tried;
        names.emplace_back(name(tried.dtype));
      }
    if (nearest)
      return found("cast", fmt::format("its operands cast to {}, its results back", join(names, " or ")), 0, 0,
                   join(names, ","), *nearest->plan);
    if (casts_.empty()) return refused("cast", "it computes with no floating numbers that could be others");
    std::vector<std::string> runs, refuses;
    for (const CastTried& tried : casts_) {
      const std::string dtype(name(tried.dtype));
      const RejectedDevice* why = tried.plan ? rejection_of(*tried.plan, tried.op, devices.front()) : nullptr;
      (why && why->kind != RejectionKind::no_kernel ? runs : refuses).push_back(dtype);
    }
    std::vector<std::string> parts;
    if (!runs.empty())
      parts.push_back(fmt::format("in {} it stays off {} too", join(runs, ", "), devices.front().to_string()));
    if (!refuses.empty())
      parts.push_back(fmt::format("{} has no kernel for it in {}", devices.front().to_string(), join(refuses, ", ")));
    std::vector<std::string> untaken;
    for (DType dtype : untaken_)
      if (runs_in(devices.front(), dtype)) untaken.emplace_back(name(dtype));
    if (!untaken.empty()) parts.push_back(fmt::format("ops do not take {} yet", join(untaken, ", ")));
    return refused("cast", join(parts, "; "));
  }

  bool runs_in(const DeviceId& device, DType dtype) const {
    const std::vector<Rate>& rates = placed_.machine.find(device).rates;
    return std::any_of(rates.begin(), rates.end(), [&](const Rate& rate) { return rate.dtype == dtype; });
  }

  static const RejectedDevice* rejection_of(const PlacementPlan& plan, int32_t op, const DeviceId& device) {
    for (const RejectedDevice& row : plan.ops[op].rejected)
      if (row.device == device) return &row;
    return nullptr;
  }

  // --- the island

  void find_island(WhyReport& report) {
    if (is_simulated(search_.now())) return;  // islands are priced by sums
    for (const Island& island : find_islands(solved_->problem, solved_->labels)) {
      if (!std::binary_search(island.groups.begin(), island.groups.end(), solved_->group_of[op_])) continue;
      groups_ = island.groups;
      for (size_t i = 0; i < solved_->group_of.size(); ++i)
        if (std::binary_search(groups_.begin(), groups_.end(), solved_->group_of[i]))
          report.island.push_back(static_cast<int32_t>(i));
    }
  }

  std::optional<double> island_seconds(const DeviceId& device) const {
    const int to = label(device);
    if (solved_->problem.costs[solved_->group_of[op_]][to] >= PlacementProblem::unrunnable) return {};
    return static_cast<double>(
               flip_cost(solved_->problem, values_of_groups(solved_->problem), solved_->labels, groups_, to)) *
           1e-9;
  }

  const GraphPlacement& placed_;
  const Graph& graph_;
  int32_t op_;
  FlipSearch search_;
  const SolvedPlacement* solved_;
  std::vector<int> groups_;  // of the op's island
  std::vector<WordDropped> dropped_;
  std::vector<CastTried> casts_;
  std::vector<DType> untaken_;  // floating dtypes that nothing computes in yet
  size_t words_ = 0;            // pins and rules of the program
};

}  // namespace

WhyReport explain(const GraphPlacement& placed, int32_t op) { return Explainer(placed, op).run(); }

}  // namespace placewright::tools
