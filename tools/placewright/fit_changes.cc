// What would make a step fit, each change judged by planning it.
#include <algorithm>

#include <fmt/core.h>

#include "command.h"
#include "fit.h"

namespace placewright::tools {
namespace {

class ChangeFinder {
 public:
  ChangeFinder(const FitProbe& probe, const FitBatch& batch, FitRow& row) : probe_(probe), batch_(batch), row_(row) {}

  void run() {
    if (row_.verdict == FitVerdict::displaced) keep_displaced();
    try_batch();
    std::stable_sort(row_.changes.begin(), row_.changes.end(),
                     [](const FitChange& a, const FitChange& b) { return a.loss < b.loss; });
  }

 private:
  // What a step must be: where it can only be displaced, not to be; else to fit anyhow.
  bool is_good(const FitPlan& plan) const {
    return plan.fits() && (row_.verdict == FitVerdict::too_large || !plan.is_limited);
  }

  // `steps`: how many take the place of one.
  void add(FitChange change, double steps) {
    change.seconds = change.plan.step.seconds * steps;
    const double freely = row_.freely.step.seconds;
    change.loss = freely > 0 ? change.seconds / freely - 1 : 0;
    row_.changes.push_back(std::move(change));
  }

  void keep_displaced() {
    add({"displaced", "", "nothing changed: ops and parameters stay where memory lets them", row_.plan, 0, 0}, 1);
  }

  void try_batch() {
    if (!batch_.cause.empty()) {
      row_.unasked.push_back("batch: " + batch_.cause);
      return;
    }
    const int64_t asked = batch_.asked;
    int64_t fitting = 0, failing = asked;
    FitPlan best;
    while (failing - fitting > 1) {
      const int64_t middle = fitting + (failing - fitting) / 2;
      FitPlan plan = probe_.plan(middle);
      if (is_good(plan)) {
        fitting = middle;
        best = std::move(plan);
      } else {
        failing = middle;
      }
    }
    if (fitting == 0) {
      row_.unasked.push_back(asked > 1 ? "batch: not even 1 fits" : "batch: it is 1 already");
      return;
    }
    add({"batch", std::to_string(fitting), fmt::format("the largest that fits, by bisection: {} does not", fitting + 1),
         std::move(best), 0, 0},
        static_cast<double>(asked) / static_cast<double>(fitting));
  }

  const FitProbe& probe_;
  const FitBatch& batch_;
  FitRow& row_;
};

}  // namespace

void find_changes(const FitProbe& probe, const FitBatch& batch, FitRow& row) { ChangeFinder(probe, batch, row).run(); }

}  // namespace placewright::tools
