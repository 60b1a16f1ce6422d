// Greedy: what is taken early frees little, and what is taken late may free the same bytes besides.
#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "placewright/passes/step_time.h"
#include "relief_candidates.h"
#include "relief_rounds.h"

namespace placewright {
namespace {

// Ops rewritten and planned, in all that is tried.
constexpr int64_t most_planned = 120000;
constexpr int64_t fewest_tried = 4;

// Rounds as they are applied.
struct Applied {
  ReliefRounds rounds;
  std::vector<std::vector<RoundOp>> ops;  // behind each round
  Graph graph;
};

class Pruner {
 public:
  Pruner(const Graph& compiled, const PassContext& context, ReliefRounds rounds)
      : compiled_(compiled), context_(context) {
    applied_ = {std::move(rounds), {}, compiled};
    for (const std::vector<ReliefStep>& round : applied_.rounds) apply(round, applied_);
    need_ = measure_need(applied_.graph, context_);
    PW_CHECK(need_.excess() == 0, "steps that do not make it fit");
    price_ = price_step(applied_.graph, context_);
  }

  ReliefRounds run() {
    const auto ops = static_cast<int64_t>(applied_.graph.main().ops.size());
    const int64_t each = ops * (static_cast<int64_t>(applied_.rounds.size()) + 1);
    int64_t left = std::max(fewest_tried, most_planned / std::max<int64_t>(1, each));
    std::vector<Place> places = dearest_first();
    for (size_t i = 0; i < places.size() && left > 0; ++i) {
      if (!has_room_without(places[i]) || !try_without(places[i], left)) continue;
      for (Place& place : places) place.step -= place.round == places[i].round && place.step > places[i].step ? 1 : 0;
    }
    return std::move(applied_.rounds);
  }

 private:
  struct Place {
    size_t round = 0, step = 0;
  };

  std::vector<Place> dearest_first() const {
    std::vector<Place> places;
    for (size_t round = 0; round < applied_.rounds.size(); ++round)
      for (size_t step = 0; step < applied_.rounds[round].size(); ++step) places.push_back({round, step});
    const auto seconds = [&](const Place& place) { return applied_.rounds[place.round][place.step].seconds; };
    std::stable_sort(places.begin(), places.end(),
                     [&](const Place& a, const Place& b) { return seconds(a) > seconds(b); });
    return places;
  }

  static void apply(const std::vector<ReliefStep>& round, Applied& applied) {
    applied.ops.emplace_back();
    applied.graph = apply_round(std::move(applied.graph), round, &applied.ops.back());
  }

  // By estimate: whether all fits where its bytes stay.
  bool has_room_without(const Place& place) {
    const ReliefStep& step = applied_.rounds[place.round][place.step];
    auto [at, is_new] = alive_.try_emplace(step.device);
    if (is_new) at->second = ReliefCandidates(applied_.graph, context_, need_).alive_on(step.device);
    int64_t room = 0;
    for (const DeviceNeed& need : need_.devices)
      if (need.device == step.device) room = need.capacity - need.beside;
    for (int32_t op = behind_all(step.after, place.round) + 1; op < behind_all(step.before, place.round); ++op)
      if (at->second[op] + step.bytes > room) return false;
    return true;
  }

  // An op before the round, as numbered behind all of them.
  int32_t behind_all(int32_t op, size_t round) const {
    for (; round < applied_.ops.size(); ++round) {
      const std::vector<RoundOp>& ops = applied_.ops[round];
      op = static_cast<int32_t>(
          std::find_if(ops.begin() + op, ops.end(), [&](const RoundOp& made) { return made.op == op; }) - ops.begin());
    }
    return op;
  }

  bool try_without(const Place& place, int64_t& left) {
    std::optional<Applied> trial = without(place);
    if (!trial) return false;
    --left;
    MemoryNeed need = measure_need(trial->graph, context_);
    if (need.excess() > 0) return false;
    const int64_t price = price_step(trial->graph, context_);
    if (price >= price_) return false;
    applied_ = std::move(*trial);
    need_ = std::move(need);
    price_ = price;
    alive_.clear();
    return true;
  }

  // Nothing where another step speaks of what this one makes.
  std::optional<Applied> without(const Place& place) const {
    Applied trial{applied_.rounds, {}, compiled_};
    std::vector<ReliefStep>& shorter = trial.rounds[place.round];
    shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(place.step));
    for (size_t r = 0; r < place.round; ++r) apply(trial.rounds[r], trial);
    std::vector<int32_t> now(trial.graph.main().ops.size());  // of ops behind the round before
    std::iota(now.begin(), now.end(), 0);
    for (size_t r = place.round; r < trial.rounds.size(); ++r) {
      for (ReliefStep& step : trial.rounds[r])
        if (!renumber(step, now)) return {};
      apply(trial.rounds[r], trial);
      now = renumbered(r, r == place.round ? static_cast<int32_t>(place.step) : -1, now, trial.ops[r]);
    }
    return trial;
  }

  static bool renumber(ReliefStep& step, const std::vector<int32_t>& now) {
    step.after = now[step.after];
    step.before = now[step.before];
    bool is_there = step.after >= 0 && step.before >= 0;
    for (Value& value : step.values) is_there = (value.op = now[value.op]) >= 0 && is_there;
    for (Relaunch& launch : step.launches) is_there = (launch.op = now[launch.op]) >= 0 && is_there;
    return is_there;
  }

  // What the ops behind a round are called without the step `dropped` of it; -1: they are not made.
  std::vector<int32_t> renumbered(size_t round, int32_t dropped, const std::vector<int32_t>& before,
                                  const std::vector<RoundOp>& ops) const {
    std::map<int32_t, int32_t> kept;
    std::map<std::pair<int32_t, int32_t>, int32_t> made;
    for (size_t i = 0; i < ops.size(); ++i)
      (ops[i].op >= 0 ? kept[ops[i].op] : made[{ops[i].step, ops[i].place}]) = static_cast<int32_t>(i);
    std::vector<int32_t> now;
    for (const RoundOp& old : applied_.ops[round]) {
      int32_t op = -1;
      if (old.op >= 0) {
        op = before[old.op] < 0 ? -1 : kept.at(before[old.op]);
      } else if (old.step != dropped) {
        auto at = made.find({old.step - (dropped >= 0 && old.step > dropped ? 1 : 0), old.place});
        if (at != made.end()) op = at->second;
      }
      now.push_back(op);
    }
    return now;
  }

  const Graph& compiled_;
  const PassContext& context_;
  Applied applied_;
  MemoryNeed need_;
  int64_t price_ = 0;
  std::map<DeviceId, std::vector<int64_t>> alive_;  // bytes, by op behind all rounds
};

}  // namespace

ReliefRounds drop_superfluous(const Graph& compiled, const PassContext& context, ReliefRounds rounds) {
  return Pruner(compiled, context, std::move(rounds)).run();
}

}  // namespace placewright
