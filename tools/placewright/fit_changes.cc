// What would make a step fit, each change judged by planning it.
#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "fit.h"

namespace placewright::tools {
namespace {

class ChangeFinder {
 public:
  ChangeFinder(const FitProbe& probe, FitRow& row) : probe_(probe), batch_(probe.model().batch()), row_(row) {}

  void run() {
    if (row_.verdict == FitVerdict::displaced)
      add({"displaced", "",
           fmt::format("nothing is changed: ops and parameters stay where memory lets them, and {} are copied in each "
                       "step, not {}",
                       bytes_text(row_.plan.bytes_per_step), bytes_text(row_.freely.bytes_per_step)),
           row_.plan, 0, 0},
          1);
    try_batch({});
    try_precision();
    std::stable_sort(row_.changes.begin(), row_.changes.end(),
                     [](const FitChange& a, const FitChange& b) { return a.loss < b.loss; });
  }

 private:
  // What a step must be: where it can only be displaced, not to be; else to fit anyhow.
  bool is_good(const FitPlan& plan) const {
    return plan.fits() && (row_.verdict == FitVerdict::too_large || !plan.is_limited);
  }

  // Where memory without end would not be used up, none is missing: the plan is the same and sooner made.
  std::optional<FitPlan> good_plan(const FitVersion& version) const {
    FitPlan plan = probe_.plan_freely(version);
    if (plan.fits()) return plan;
    if (row_.verdict == FitVerdict::displaced || !plan.is_made()) return {};
    plan = probe_.plan(version);
    return is_good(plan) ? std::optional(std::move(plan)) : std::nullopt;
  }

  // `steps`: how many take the place of one.
  void add(FitChange change, double steps) {
    change.seconds = change.plan.step.seconds * steps;
    const double freely = row_.freely.step.seconds;
    change.loss = freely > 0 ? change.seconds / freely - 1 : 0;
    row_.changes.push_back(std::move(change));
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
                     fmt::format("the largest that fits, by bisection: {} does not", fitting + 1),
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
