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
    size_t last = solve();
    best_ = last;
    if (!fitted_.is_limited) {  // else what fits counts, and what bounds it
      for (int round = 1; round < rounds && is_news_; ++round) {
        enter(known_[last].prices, choice_, known_[last].labels, {}, problem_);
        last = solve();
        if (known_[last].step < known_[best_].step) best_ = last;
      }
      try_devices();
      prove();
    }
    return {std::move(problem_), std::move(fitted_), std::move(known_[best_].prices)};
  }

 private:
  static constexpr int rounds = 2;

  struct Known {
    Labels labels;
    FusedPrices prices;
    int64_t step = 0;  // launches and copies
  };

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
    auto at = std::find_if(known_.begin(), known_.end(), [&](const Known& known) { return known.labels == labels; });
    is_news_ = at == known_.end();
    if (!is_news_) return static_cast<size_t>(at - known_.begin());
    FusedPrices prices = price_as_fused(graph_, context_, choice_.devices, labels_of_ops(choice_, labels));
    int64_t step = prices.launches() + energy(copies_, labels);
    known_.push_back({labels, std::move(prices), step});
    return known_.size() - 1;
  }

  size_t solve() {
    fitted_ = place_within_memory(graph_, context_, problem_, choice_.group_of, choice_.devices);
    return know(fitted_.labels);
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
      enter(known.prices, choice_, known.labels, label, problem_);
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
  void try_devices() {
    for (size_t i = 0; i < known_.size(); ++i) {
      if (known_[i].step >= known_[best_].step) continue;
      if (!fitted_.peaks.empty()) {
        std::vector<int64_t> peaks =
            memory_peaks(graph_, context_, problem_, choice_.group_of, choice_.devices, known_[i].labels);
        if (!std::equal(peaks.begin(), peaks.end(), fitted_.caps.begin(), std::less_equal<>())) continue;
        fitted_.peaks = std::move(peaks);
      }
      best_ = i;
    }
  }

  // The prices of what was chosen are its own; what no placement undercuts by them.
  void prove() {
    const Known& best = known_[best_];
    enter(best.prices, choice_, best.labels, {}, problem_);
    Solution least = solve_placement(problem_);
    fitted_.bound = least.is_optimal ? least.energy : certify(problem_).bound;
    fitted_.is_limited = false;
    fitted_.labels = best.labels;
    fitted_.energy = energy(problem_, best.labels);
  }

  const Graph& graph_;
  const PassContext& context_;
  const PlacementChoice& choice_;
  PlacementProblem problem_;  // with the prices known
  PlacementProblem copies_;   // what is copied between devices, nothing else
  FittedPlacement fitted_;
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
