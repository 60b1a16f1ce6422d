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
  FusedPlacer(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
              CompiledPlacements* compiled)
      : graph_(graph),
        context_(context),
        choice_(choice),
        compiled_(compiled),
        problem_(choice.problem),
        copies_(choice.problem) {
    for (size_t v = 0; v < problem_.values.size(); ++v) {
      if (!choice.is_remade[v]) continue;
      std::fill(copies_.values[v].moves.begin(), copies_.values[v].moves.end(), 0);
      for (int to = 0; to < problem_.labels; ++to) set_remaking(problem_.values[v], problem_.labels, to, 0);
    }
  }

  FusedPlacement run() {
    if (has_choice()) price_devices();
    best_ = take(solve());
    std::vector<TriedPlacement> tried;
    if (known_[best_].fitted.is_limited) {
      settle();
    } else {
      refine();
      for (const Known& known : known_) tried.push_back({known.fitted.labels, known.prices.done, known.step});
      search(false);
      take_cheapest();
      prove();
    }
    Known& best = known_[best_];
    const auto priced = static_cast<int>(known_.size());
    return {std::move(problem_), std::move(best.fitted), std::move(best.prices), std::move(tried), priced};
  }

 private:
  static constexpr int rounds = 2;
  static constexpr size_t most_op_prices = 4000;  // of all placements that `search` looks at
  static constexpr size_t least_searched = 8;

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
    for (int g = 0; g < problem_.groups(); ++g)
      if (count_places(g) > 1) return true;
    return false;
  }

  // The known placement of these labels; prices it if it is new. `traced`: as compiled, if somebody did so.
  size_t know(const Labels& labels, const TracedGraph* traced = nullptr) {
    auto at =
        std::find_if(known_.begin(), known_.end(), [&](const Known& known) { return known.fitted.labels == labels; });
    is_news_ = at == known_.end();
    if (!is_news_) return static_cast<size_t>(at - known_.begin());
    const std::vector<int> of_ops = labels_of_ops(choice_, labels);
    FusedPrices prices = traced ? price_as_fused(*traced, context_, choice_.devices, of_ops)
                                : price_as_fused(graph_, context_, choice_.devices, of_ops, compiled_);
    int64_t step = prices.launches() + energy(copies_, labels);
    known_.push_back({{.labels = labels}, std::move(prices), step});
    return known_.size() - 1;
  }

  FittedPlacement solve() {
    known_before_ = known_.size();
    auto price = [&](const Labels& labels, const TracedGraph& traced) { return known_[know(labels, &traced)].step; };
    return place_within_memory(graph_, context_, problem_, choice_.group_of, choice_.devices, price, compiled_);
  }

  size_t take(FittedPlacement fitted) {
    size_t at = know(fitted.labels);
    is_news_ = at >= known_before_;
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

  void price_devices() {
    for (int label = 0; label < problem_.labels; ++label) {
      int twin = 0;
      while (twin < label && !are_alike(twin, label)) ++twin;
      if (twin < label) {
        copy_prices(twin, label);
        continue;
      }
      const Known& known = known_[know(all_on(choice_.problem, label))];
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

  // What the first prices were made from are placements, too. Memories decide only here, so that with more of them the
  // same placements are known.
  void take_cheapest() {
    std::vector<std::pair<int64_t, size_t>> cheaper;
    for (size_t i = 0; i < known_.size(); ++i)
      if (i != best_ && known_[i].step < total(known_[best_])) cheaper.emplace_back(known_[i].step, i);
    std::sort(cheaper.begin(), cheaper.end());
    for (auto [step, i] : cheaper)
      if (take_if_fits(i)) return;
  }

  bool take_if_fits(size_t i) {
    FittedPlacement tried{.labels = known_[i].fitted.labels, .caps = known_[best_].fitted.caps};
    if (!known_[best_].fitted.peaks.empty()) {
      tried.peaks =
          memory_peaks(graph_, context_, problem_, choice_.group_of, choice_.devices, tried.labels, compiled_);
      if (!std::equal(tried.peaks.begin(), tried.peaks.end(), tried.caps.begin(), std::less_equal<>())) return false;
    }
    known_[i].fitted = std::move(tried);
    best_ = i;
    return true;
  }

  // An op that leaves its launch splits it, and may join another: only a price as compiled says what that takes.
  // Small problems: all placements. Others: those near the cheapest, the nearest to a gain first, while one is cheaper;
  // `within_memory`: and fits.
  void search(bool within_memory) {
    size_t left = most_searched();
    if (left == 0) return;
    std::vector<int> free;
    size_t placements = 1;
    for (int g = 0; g < problem_.groups(); ++g) {
      auto places = static_cast<size_t>(count_places(g));
      if (places < 2) continue;
      free.push_back(g);
      placements = std::min(left + 1, placements * places);
    }
    if (placements <= left) {
      const Labels first = known_[best_].fitted.labels;
      for (Labels labels = first; advance(labels, first, free);) know(labels);
      return;
    }
    size_t top = within_memory ? best_ : 0;
    for (size_t i = 0; i < known_.size() && !within_memory; ++i) top = known_[i].step < known_[top].step ? i : top;
    for (bool has_gained = true; has_gained;) {
      has_gained = false;
      enter(known_[top].prices, choice_, known_[top].fitted.labels, {}, problem_);
      for (const Labels& near : neighbours(known_[top].fitted.labels, free)) {
        if (left == 0) return;
        const size_t at = know(near);
        if (!is_news_) continue;
        --left;
        has_gained = within_memory ? known_[at].step < total(known_[best_]) && take_if_fits(at)
                                   : known_[at].step < known_[top].step;
        if (!has_gained) continue;
        top = at;
        break;
      }
    }
  }

  int count_places(int group) const {
    int places = 0;
    for (int label = 0; label < problem_.labels; ++label) places += may_stand(group, label) ? 1 : 0;
    return places;
  }

  // The next of all placements, which are counted from `first`; false if they have all been.
  bool advance(Labels& labels, const Labels& first, const std::vector<int>& free) const {
    for (int g : free) {
      do labels[g] = (labels[g] + 1) % problem_.labels;
      while (!may_stand(g, labels[g]));
      if (labels[g] != first[g]) return true;
    }
    return false;
  }

  // One group elsewhere; two that a value connects; in small problems one elsewhere and all others as they then stand
  // best by what is known. Sorted by what is known.
  std::vector<Labels> neighbours(const Labels& now, const std::vector<int>& free) const {
    std::vector<std::pair<int64_t, Labels>> found;
    auto add = [&](Labels labels) {
      if (labels != now) found.emplace_back(energy(problem_, labels), std::move(labels));
    };
    const bool is_small = free.size() * free.size() * static_cast<size_t>(problem_.labels) <= most_op_prices;
    add(solve_placement(problem_).labels);
    for (int g : free)
      for (int label = 0; label < problem_.labels; ++label) {
        if (label == now[g] || !may_stand(g, label)) continue;
        Labels moved = now;
        moved[g] = label;
        add(std::move(moved));
        if (!is_small) continue;
        PlacementProblem held = problem_;
        held.costs[g].assign(held.costs[g].size(), PlacementProblem::unrunnable);
        held.costs[g][label] = problem_.costs[g][label];
        add(solve_placement(held).labels);
      }
    for (const PlacementProblem::Value& value : problem_.values)
      for (int consumer : value.consumers)
        for (int label = 0; label < problem_.labels; ++label) {
          const int producer = value.producer;
          if (!may_stand(producer, label) || !may_stand(consumer, label)) continue;
          Labels moved = now;
          moved[producer] = moved[consumer] = label;
          if (now[producer] != label && now[consumer] != label) add(std::move(moved));
        }
    std::sort(found.begin(), found.end());
    std::vector<Labels> near;
    for (auto& [price, labels] : found)
      if (near.empty() || near.back() != labels) near.push_back(std::move(labels));
    return near;
  }

  // The prices of what was chosen are its own; what no placement undercuts by them. What seems to is priced as
  // compiled: by as much as it then takes more, its groups cost more where they stand there. Known placements that take
  // less do not fit, or fit with relief.
  void prove() {
    enter(known_[best_].prices, choice_, known_[best_].fitted.labels, {}, problem_);
    Solution least = solve_placement(problem_);
    for (size_t left = most_searched(); left > 0; --left) {
      if (least.energy >= energy(problem_, known_[best_].fitted.labels)) break;
      const size_t rival = know(least.labels);
      if (known_[rival].step >= known_[best_].step)
        raise_prices(known_[rival]);
      else if (take_if_fits(rival))
        enter(known_[best_].prices, choice_, known_[best_].fitted.labels, {}, problem_);
      else
        break;
      least = solve_placement(problem_);
    }
    bound_by(least);
    known_[best_].fitted.is_limited = std::any_of(
        known_.begin(), known_.end(), [&](const Known& known) { return known.step < total(known_[best_]); });
  }

  // Where memories decide, what was found fits. By its own prices another may, too, and those near it; the cheapest as
  // compiled is kept. The bound by its prices leaves memories out.
  void settle() {
    if (most_searched() > 0) {
      enter(known_[best_].prices, choice_, known_[best_].fitted.labels, {}, problem_);
      const size_t other = take(solve());
      if (total(known_[other]) < total(known_[best_])) best_ = other;
    }
    search(true);
    take_cheapest();
    enter(known_[best_].prices, choice_, known_[best_].fitted.labels, {}, problem_);
    bound_by(solve_placement(problem_));
    known_[best_].fitted.is_limited = true;
  }

  void bound_by(const Solution& least) {
    FittedPlacement& best = known_[best_].fitted;
    best.bound = least.is_optimal ? least.energy : certify(problem_).bound;
    best.energy = energy(problem_, best.labels);
  }

  void raise_prices(const Known& rival) {
    const Labels &chosen = known_[best_].fitted.labels, &other = rival.fitted.labels;
    const int64_t truth = energy(problem_, chosen) + rival.step - known_[best_].step;
    std::vector<int> moved;
    for (int g = 0; g < problem_.groups(); ++g)
      if (chosen[g] != other[g]) moved.push_back(g);
    int64_t missing = truth - energy(problem_, other);
    PW_CHECK(!moved.empty() && missing > 0, "a rival that is no cheaper");
    for (size_t i = 0; i < moved.size(); ++i) {
      const int64_t part = missing / static_cast<int64_t>(moved.size() - i);
      problem_.costs[moved[i]][other[moved[i]]] += part;
      missing -= part;
    }
  }

  // Placements that may be priced besides: none where a compile takes long.
  size_t most_searched() const {
    const size_t most = most_op_prices / std::max<size_t>(1, graph_.main().ops.size());
    return most < least_searched ? 0 : most;
  }

  const Graph& graph_;
  const PassContext& context_;
  const PlacementChoice& choice_;
  CompiledPlacements* compiled_;
  PlacementProblem problem_;  // with the prices known
  PlacementProblem copies_;   // what is copied between devices, nothing else
  std::vector<Known> known_;
  size_t best_ = 0;
  size_t known_before_ = 0;  // the last solution
  bool is_news_ = false;     // that it was not known, or the last that was asked for
};

}  // namespace

FusedPlacement place_as_fused(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
                              CompiledPlacements* known) {
  return FusedPlacer(graph, context, choice, known).run();
}

FusedPrices price_placement(const Graph& graph, const PassContext& context, const PlacementChoice& choice,
                            const Labels& labels, PlacementProblem& problem, CompiledPlacements* known) {
  FusedPrices prices = price_as_fused(graph, context, choice.devices, labels_of_ops(choice, labels), known);
  enter(prices, choice, labels, {}, problem);
  return prices;
}

}  // namespace placewright
