// What would make a step fit, each change judged by planning it.
#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "fit.h"
#include "placewright/base/join.h"

namespace placewright::tools {
namespace {

class ChangeFinder {
 public:
  ChangeFinder(const FitProbe& probe, FitRow& row) : probe_(probe), batch_(probe.model().batch()), row_(row) {}

  void run() {
    if (row_.verdict == FitVerdict::squeezed) keep_squeezed();
    try_batch({});
    try_precision();
    std::stable_sort(row_.changes.begin(), row_.changes.end(),
                     [](const FitChange& a, const FitChange& b) { return a.loss < b.loss; });
  }

 private:
  // What a step must be: where it fits squeezed, at ease; else to fit anyhow.
  bool is_good(const FitPlan& plan) const {
    return plan.fits() && (row_.verdict == FitVerdict::too_large || plan.is_at_ease());
  }

  // What needs too much with memory without end is not at ease, and that is sooner known.
  std::optional<FitPlan> good_plan(const FitVersion& version) const {
    if (row_.verdict == FitVerdict::squeezed && !probe_.plan_freely(version).fits()) return {};
    FitPlan plan = probe_.plan(version);
    return is_good(plan) ? std::optional(std::move(plan)) : std::nullopt;
  }

  // `steps`: how many take the place of one.
  void add(FitChange change, double steps) {
    change.seconds = change.plan.step.seconds * steps;
    const double freely = row_.freely.step.seconds;
    change.loss = freely > 0 ? change.seconds / freely - 1 : 0;
    row_.changes.push_back(std::move(change));
  }

  // What `place` does by itself.
  void keep_squeezed() {
    std::vector<std::string> kinds, parts;
    auto note = [&](ReliefKind relief, const char* kind) {
      size_t count = 0;
      int64_t bytes = 0;
      for (const ReliefStep& step : row_.plan.relief)
        if (step.kind == relief) {
          ++count;
          bytes += step.bytes;
        }
      if (count == 0) return;
      kinds.emplace_back(kind);
      parts.push_back(fmt::format("{} {}, which frees {}", plural(count, "value"), name(relief), bytes_text(bytes)));
    };
    for (const ReliefStep& step : row_.plan.relief)
      if (step.kind == ReliefKind::reordered) {
        if (kinds.empty()) kinds.emplace_back("reorder");
        parts.push_back(fmt::format("launches in another order, which frees {}", bytes_text(step.bytes)));
      }
    note(ReliefKind::recomputed, "recompute");
    note(ReliefKind::copied_again, "copy again");
    note(ReliefKind::offloaded, "offload");
    size_t moved = 0;
    for (size_t op = 0; op < row_.plan.homes.size() && op < row_.freely.homes.size(); ++op)
      moved += row_.plan.homes[op] != row_.freely.homes[op];
    if (moved > 0 || kinds.empty()) {
      kinds.emplace_back("displace");
      parts.push_back(fmt::format(
          "{} and parameters not where they are cheapest, so that {} are copied in each step, "
          "not {}",
          plural(moved, "op"), bytes_text(row_.plan.bytes_per_step), bytes_text(row_.freely.bytes_per_step)));
    }
    add({join(kinds, " and "), "", "what is done if nothing is changed: " + join(parts, "; "), row_.plan, 0, 0}, 1);
  }

  void try_batch(std::optional<DType> precision) {
    const std::string question = precision ? fmt::format("batch in {}", name(*precision)) : "batch";
    if (!batch_.cause.empty()) {
      if (!precision) row_.unasked.push_back("batch: " + batch_.cause);
      return;
    }
    int64_t fitting = 0, failing = batch_.asked;
    FitPlan best;
    while (failing - fitting > 1) {
      const int64_t middle = fitting + (failing - fitting) / 2;
      if (std::optional<FitPlan> plan = good_plan({middle, precision})) {
        fitting = middle;
        best = *std::move(plan);
      } else {
        failing = middle;
      }
    }
    if (fitting == 0) {
      row_.unasked.push_back(question + (batch_.asked > 1 ? ": not even 1 fits" : ": it is 1 already"));
      return;
    }
    FitChange change{"batch",
                     std::to_string(fitting),
                     fmt::format("the largest that fits{}, by bisection: {} does not",
                                 row_.verdict == FitVerdict::squeezed ? " unsqueezed" : "", fitting + 1),
                     std::move(best),
                     0,
                     0};
    if (precision) {
      change.kind = "precision and batch";
      change.value = fmt::format("{}, {}", name(*precision), fitting);
    }
    add(std::move(change), static_cast<double>(batch_.asked) / static_cast<double>(fitting));
  }

  // The widest narrower dtype that Placewright computes in and a device has products of.
  std::optional<DType> narrow_dtype() const {
    for (DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      if (info(dtype).bits >= info(probe_.model().wide()).bits || !info(dtype).supported) continue;
      for (const DeviceSpec& device : row_.machine.devices)
        if (device.rate("contraction", dtype) > 0 && device.rate("elementwise", dtype) > 0) return dtype;
    }
    return {};
  }

  std::string no_narrow_dtype() const {
    for (DType dtype : {DType::f32, DType::bf16, DType::f16})
      if (info(dtype).bits < info(probe_.model().wide()).bits && info(dtype).supported)
        return fmt::format("precision: no device of the machine computes products in {}", name(dtype));
    return fmt::format("precision: Placewright computes in nothing narrower than {} yet, bf16 and f16 included",
                       name(probe_.model().wide()));
  }

  void try_precision() {
    const std::optional<DType> dtype = narrow_dtype();
    if (!dtype) {
      row_.unasked.push_back(no_narrow_dtype());
      return;
    }
    const FitVersion version{batch_.asked, dtype};
    if (std::optional<FitPlan> plan = good_plan(version)) {
      add({"precision", std::string(name(*dtype)),
           fmt::format("products, convolutions and what follows them in {}, parameters, norms and losses in {}",
                       name(*dtype), name(probe_.model().wide())),
           *std::move(plan), 0, 0},
          1);
      return;
    }
    if (const FitPlan freely = probe_.plan_freely(version); !freely.is_made()) {
      row_.unasked.push_back(fmt::format("precision: in {}, {}", name(*dtype), freely.fault));
      return;
    }
    row_.unasked.push_back(fmt::format("precision: {} alone does not {}", name(*dtype),
                                       row_.verdict == FitVerdict::too_large ? "make it fit" : "free enough memory"));
    try_batch(dtype);
  }

  const FitProbe& probe_;
  const FitBatch& batch_;
  FitRow& row_;
};

}  // namespace

void find_changes(const FitProbe& probe, FitRow& row) { ChangeFinder(probe, row).run(); }

}  // namespace placewright::tools
