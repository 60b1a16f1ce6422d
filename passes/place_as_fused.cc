#include "place_as_fused.h"

#include <algorithm>
#include <optional>

#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"

namespace placewright {
namespace {

std::vector<int> labels_of_ops(const PlacementChoice& choice, const Labels& labels) {
  std::vector<int> of_ops;
  of_ops.reserve(choice.group_of.size());
  for (int group : choice.group_of) of_ops.push_back(labels[group]);
  return of_ops;
}

// What making a value again costs on a device that reads it. Where nothing is known of it the least: it then stands
// with its readers.
void set_remaking(PlacementProblem::Value& value, int labels, int to, int64_t price) {
  for (int from = 0; from < labels; ++from)
    if (from != to) value.moves[from * labels + to] = std::max<int64_t>(1, price);
}

// Makes what the launches take the costs of the groups: of all, or of those on one label.
void enter(const FusedPrices& prices, const PlacementChoice& choice, const Labels& labels, std::optional<int> only,
           PlacementProblem& problem) {
  auto is_meant = [&](int label) { return !only || label == *only; };
  for (int g = 0; g < problem.groups(); ++g)
    if (is_meant(labels[g])) problem.costs[g][labels[g]] = 0;
  for (size_t op = 0; op < choice.group_of.size(); ++op) {
    int g = choice.group_of[op], label = labels[g];
    if (is_meant(label)) problem.costs[g][label] += prices.shares[label][op];
  }
  for (size_t v = 0; v < problem.values.size(); ++v) {
    if (!choice.is_remade[v]) continue;
    PlacementProblem::Value& value = problem.values[v];
    uint64_t known = uint64_t{1} << labels[value.producer];
    for (int consumer : value.consumers) known |= uint64_t{1} << labels[consumer];
    for (int to = 0; to < problem.labels; ++to)
      if (is_meant(to) && (known >> to & 1))
        set_remaking(value, problem.labels, to, prices.shares[to][choice.sources[v].op]);
  }
}

class FusedPlacer {
 public:
  FusedPlacer(const Graph& graph, const PassContext& context, const PlacementChoice& choice)
      : graph_(graph), context_(context), choice_(choice), problem_(choice.problem), copies_(choice.problem) {
    for (size_t v = 0; v < problem_.values.size(); ++v) {
      if (!choice.is_remade[v]) continue;
      std::fill(copies_.values[v].moves.begin(), copies_.values[v].moves.end(), 0);
      for (int to = 0; to < problem_.labels; ++to) set_remaking(problem_.values[v], problem_.labels, to, 0);
    }
  }

  FusedPlacement run() {
    if (has_choice()) price_devices();
    best_ = take(solve());
    if (!known_[best_].fitted.is_limited) {  // else what fits counts, and what bounds it
      refine();
      try_known();
      prove();
    }
    std::vector<TriedPlacement> tried;
    for (const Known& known : known_) tried.push_back({known.fitted.labels, known.prices.done});
    Known& best = known_[best_];
    return {std::move(problem_), std::move(best.fitted), std::move(best.prices), std::move(tried)};
  }

 private:
  static constexpr int rounds = 2;

  struct Known {
    FittedPlacement fitted;  // nothing but its labels until it was found or tried as an answer
    FusedPrices prices;
    int64_t step = 0;  // launches and copies
  };

  static int64_t total(const Known& known) { return known.step + known.fitted.relief; }

  bool may_stand(int group, int label) const {
    return choice_.problem.costs[group][label] < PlacementProblem::unrunnable;
  }

  bool has_choice() const {
    for (int g = 0; g < problem_.groups(); ++g) {
      int places = 0;
      for (int label = 0; label < problem_.labels; ++label) places += may_stand(g, label) ? 1 : 0;
      if (places > 1) return true;
    }
    return false;
  }

  // The known placement of these labels; prices it if it is new.
  size_t know(const Labels& labels) {
    auto at =
        std::find_if(known_.begin(), known_.end(), [&](const Known& known) { return known.fitted.labels == labels; });
    is_news_ = at == known_.end();
    if (!is_news_) return static_cast<size_t>(at - known_.begin());
    FusedPrices prices = price_as_fused(graph_, context_, choice_.devices, labels_of_ops(choice_, labels));
    int64_t step = prices.launches() + energy(copies_, labels);
    known_.push_back({{labels, 0, 0, false, {}, {}}, std::move(prices), step});
    return known_.size() - 1;
  }

  FittedPlacement solve() const {
    return place_within_memory(graph_, context_, problem_, choice_.group_of, choice_.devices);
  }

  size_t take(FittedPlacement fitted) {
    size_t at = know(fitted.labels);
    known_[at].fitted = std::move(fitted);
    return at;
  }

  // The prices of what was found may show a better one.
  void refine() {
    size_t last = best_;
    for (int round = 1; round < rounds && is_news_; ++round) {
      enter(known_[last].prices, choice_, known_[last].fitted.labels, {}, problem_);
      FittedPlacement found = solve();
      const bool is_limited = found.is_limited;
      if (is_limited) know(solve_placement(problem_).labels);  // what memories stand against
      last = take(std::move(found));
      if (total(known_[last]) < total(known_[best_])) best_ = last;
      if (is_limited) return;
    }
  }

  // All that can on the device, the rest on the first that it can.
  Labels all_on(int label) const {
    Labels labels;
    for (int g = 0; g < problem_.groups(); ++g) {
      int at = label;
      if (!may_stand(g, at))
        for (at = 0; at < problem_.labels && !may_stand(g, at);) ++at;
      PW_CHECK(at < problem_.labels, "a group may stand nowhere");
      labels.push_back(at);
    }
    return labels;
  }

  void price_devices() {
    for (int label = 0; label < problem_.labels; ++label) {
      int twin = 0;
      while (twin < label && !are_alike(twin, label)) ++twin;
      if (twin < label) {
        copy_prices(twin, label);
        continue;
      }
      const Known& known = known_[know(all_on(label))];
      enter(known.prices, choice_, known.fitted.labels, label, problem_);
    }
  }

  // Nothing tells them apart but their numbers, and nothing is bound to either.
  bool are_alike(int a, int b) const {
    const DeviceId &first = choice_.devices[a], &second = choice_.devices[b];
    const DeviceSpec* spec = context_.machine ? context_.machine->try_find(first) : nullptr;
    const DeviceSpec* other = context_.machine ? context_.machine->try_find(second) : nullptr;
    if (!spec || !other || first.kind != second.kind) return false;
    DeviceSpec renamed = *other;
    renamed.id = first;
    if (*spec != renamed || is_measured(first) || is_measured(second)) return false;
    for (int g = 0; g < problem_.groups(); ++g)
      if (may_stand(g, a) != may_stand(g, b)) return false;
    return true;
  }

  bool is_measured(const DeviceId& device) const {
    if (!context_.profile) return false;
    auto is_of = [&](const auto& cost) { return cost.device == device; };
    const Profile& profile = *context_.profile;
    return std::any_of(profile.launches.begin(), profile.launches.end(), is_of) ||
           std::any_of(profile.ops.begin(), profile.ops.end(), is_of) ||
           std::any_of(profile.kernels.begin(), profile.kernels.end(), is_of);
  }

  void copy_prices(int from, int to) {
    for (std::vector<int64_t>& costs : problem_.costs) costs[to] = costs[from];
    const int labels = problem_.labels;
    for (size_t v = 0; v < problem_.values.size(); ++v) {
      if (!choice_.is_remade[v]) continue;
      PlacementProblem::Value& value = problem_.values[v];
      set_remaking(value, labels, to, value.moves[((from + 1) % labels) * labels + from]);
    }
  }

  // What the first prices were made from are placements, too.
  void try_known() {
    for (size_t i = 0; i < known_.size(); ++i) {
      if (i == best_ || known_[i].step >= total(known_[best_])) continue;
      FittedPlacement tried{known_[i].fitted.labels, 0, 0, false, known_[best_].fitted.caps, {}};
      if (!known_[best_].fitted.peaks.empty()) {
        tried.peaks = memory_peaks(graph_, context_, problem_, choice_.group_of, choice_.devices, tried.labels);
        if (!std::equal(tried.peaks.begin(), tried.peaks.end(), tried.caps.begin(), std::less_equal<>())) continue;
      }
      known_[i].fitted = std::move(tried);
      best_ = i;
    }
  }

  // The prices of what was chosen are its own; what no placement undercuts by them. Known placements that take less
  // do not fit, or fit with relief.
  void prove() {
    FittedPlacement& best = known_[best_].fitted;
    enter(known_[best_].prices, choice_, best.labels, {}, problem_);
    Solution least = solve_placement(problem_);
    best.bound = least.is_optimal ? least.energy : certify(problem_).bound;
    best.energy = energy(problem_, best.labels);
    best.is_limited = std::any_of(known_.begin(), known_.end(),
                                  [&](const Known& known) { return known.step < total(known_[best_]); });
  }

  const Graph& graph_;
  const PassContext& context_;
  const PlacementChoice& choice_;
  PlacementProblem problem_;  // with the prices known
  PlacementProblem copies_;   // what is copied between devices, nothing else
  std::vector<Known> known_;
  size_t best_ = 0;
  bool is_news_ = false;  // that the last solution was not known
};

}  // namespace

FusedPlacement place_as_fused(const Graph& graph, const PassContext& context, const PlacementChoice& choice) {
  return FusedPlacer(graph, context, choice).run();
}

FusedPrices price_placement(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
                            const Labels& labels, PlacementProblem& problem) {
  FusedPrices prices = price_as_fused(graph, context, choice.devices, labels_of_ops(choice, labels));
  enter(prices, choice, labels, {}, problem);
  return prices;
}

}  // namespace placewright
