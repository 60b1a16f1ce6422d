#include "relief_candidates.h"

#include <algorithm>

#include "movement.h"
#include "placewright/base/checked.h"
#include "placewright/base/duration.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/op_table.h"
#include "placewright/passes/placement.h"
#include "relaunch.h"

namespace placewright {
namespace {

constexpr size_t longest_chain = 8;   // launches that run again for one value
constexpr int64_t alignment = 64;     // of what shares an arena
constexpr int64_t worth_keeping = 4;  // an operand that is this many times smaller waits instead of the value

}  // namespace

// Launches that bring a value back, in their order.
struct ReliefCandidates::Chain {
  std::vector<Relaunch> launches;
  std::set<Value> made;     // by them, views included
  std::vector<Value> kept;  // what they read
  int64_t extended = 0;     // bytes of it that would be gone otherwise
};

void sort_by_worth(std::vector<ReliefCandidate>& candidates) {
  std::stable_sort(candidates.begin(), candidates.end(), [](const ReliefCandidate& a, const ReliefCandidate& b) {
    return static_cast<double>(a.step.bytes) * b.step.seconds > static_cast<double>(b.step.bytes) * a.step.seconds;
  });
}

ReliefCandidates::ReliefCandidates(const Graph& graph, const PassContext& context, const MemoryNeed& need)
    : graph_(graph), function_(graph.main()), context_(context), need_(need), host_(host_device(context)) {
  auto count = static_cast<int32_t>(function_.ops.size());
  for (int32_t i = 0; i < count; ++i) {
    readers_.emplace_back(function_.ops[i].results.size());
    if (is_alias(i)) continue;
    for (Value operand : function_.ops[i].operands) {
      Value read = root(operand);
      std::vector<int32_t>& readers = readers_[read.op][read.result];
      if (readers.empty() || readers.back() != i) readers.push_back(i);
    }
  }
  for (Value result : function_.results) readers_[root(result).op][root(result).result].push_back(count);
  for (size_t i = 0; i < function_.updates.size(); ++i) {
    Value value = root(function_.updates[i].value);
    readers_[value.op][value.result].push_back(count);
    if (need.plan.updated_in_place[i]) overwritten_at_[function_.updates[i].state] = value.op;
  }
}

bool ReliefCandidates::is_alias(int32_t op) const {
  const Op& made = function_.ops[op];
  return made.entry->traits.view && need_.plan.storage_of[op][0] == need_.plan.storage(made.operands[0]);
}

Value ReliefCandidates::root(Value value) const {
  while (is_alias(value.op)) value = function_.op(value).operands[0];
  return value;
}

std::vector<int64_t> ReliefCandidates::alive_on(const DeviceId& device) const {
  std::vector<int64_t> alive(function_.ops.size() + 1, 0);
  for (const Storage& storage : need_.plan.storages) {
    if (storage.kind != StorageKind::temporary || storage.device != device) continue;
    alive[storage.first] += round_up(storage.bytes, alignment);
    if (static_cast<size_t>(storage.last) + 1 < alive.size())
      alive[storage.last + 1] -= round_up(storage.bytes, alignment);
  }
  for (size_t i = 1; i < alive.size(); ++i) alive[i] += alive[i - 1];
  return alive;
}

// Values that are in memory on the device while op `moment` runs, which does not touch them, in the order of the ops
// that make them; not those that are needed after the step.
std::vector<Value> ReliefCandidates::waiting_at(const DeviceId& device, int32_t moment) const {
  std::vector<Value> waiting;
  for (const Storage& storage : need_.plan.storages) {
    if (storage.kind != StorageKind::temporary || storage.device != device || storage.bytes == 0) continue;
    if (storage.first >= moment || storage.last <= moment) continue;
    Value value = living_in(storage, moment);
    if (value.op < 0) continue;
    const std::vector<int32_t>& readers = this->readers(value);
    auto next = std::lower_bound(readers.begin(), readers.end(), moment);
    if (next == readers.end() || *next == moment || readers.back() == static_cast<int32_t>(function_.ops.size()))
      continue;
    waiting.push_back(value);
  }
  std::sort(waiting.begin(), waiting.end());
  return waiting;
}

std::vector<ReliefCandidate> ReliefCandidates::at(const DeviceId& device, int32_t moment, const std::set<Value>& gone) {
  std::vector<ReliefCandidate> found;
  std::vector<Value> together;  // results of one launch
  auto add_together = [&] {
    if (together.size() > 1) add(together, moment_of(together, device, moment, gone), found);
    together.clear();
  };
  for (Value value : waiting_at(device, moment)) {
    if (gone.contains(value)) continue;
    if (!together.empty() && together.front().op != value.op) add_together();
    together.push_back(value);
    add({value}, moment_of({value}, device, moment, gone), found);
  }
  add_together();
  sort_by_worth(found);
  return found;
}

// The value that the storage holds while op `moment` runs, and that stood there before; none: op -1.
Value ReliefCandidates::living_in(const Storage& storage, int32_t moment) const {
  Value living;
  for (Value value : storage.values)
    if (value.op < moment && value.op > living.op && !is_alias(value.op)) living = value;
  for (Value value : storage.values)
    if (value.op == moment && !is_alias(value.op)) return {};
  return living;
}

ReliefCandidates::Moment ReliefCandidates::moment_of(const std::vector<Value>& values, const DeviceId& device,
                                                     int32_t at, const std::set<Value>& gone) const {
  Moment moment{device, at, static_cast<int32_t>(function_.ops.size()), 0, &gone, 0, 0, longest_chain};
  for (Value value : values) {
    const std::vector<int32_t>& readers = this->readers(value);
    moment.before = std::min(moment.before, *std::lower_bound(readers.begin(), readers.end(), at));
    moment.bytes += round_up(storage(value).bytes, alignment);
  }
  moment.little = moment.bytes / worth_keeping;
  return moment;
}

bool ReliefCandidates::add_all(const std::vector<Value>& values, const Moment& moment, Chain& chain) const {
  for (size_t i = 0; i < values.size();) {
    std::vector<int32_t> results;
    const int32_t op = values[i].op;
    for (; i < values.size() && values[i].op == op; ++i)
      if (!chain.made.contains(values[i])) results.push_back(values[i].result);
    if (!results.empty() && !add_launch(op, std::move(results), moment, chain)) return false;
  }
  return true;
}

// The most that is in use of what is made again besides what was asked for.
int64_t ReliefCandidates::transient(const Chain& chain, const std::vector<Value>& values) const {
  std::map<Value, size_t> last;
  for (size_t i = 0; i < chain.launches.size(); ++i)
    for (Value value : reads_of(graph_, function_.ops[chain.launches[i].op], chain.launches[i]).values)
      last[root(value)] = i;
  std::vector<int64_t> growth(chain.launches.size() + 1, 0);
  for (size_t i = 0; i < chain.launches.size(); ++i)
    for (int32_t result : chain.launches[i].results) {
      const Value value{chain.launches[i].op, result};
      if (is_alias(value.op) || std::binary_search(values.begin(), values.end(), value)) continue;
      const int64_t bytes = round_up(storage(value).bytes, alignment);
      growth[i] += bytes;
      auto at = last.find(value);
      growth[(at == last.end() ? i : std::max(i, at->second)) + 1] -= bytes;
    }
  int64_t now = 0, most = 0;
  for (int64_t change : growth) most = std::max(most, now += change);
  return most;
}

void ReliefCandidates::add(std::vector<Value> values, Moment moment, std::vector<ReliefCandidate>& found) {
  ReliefCandidate candidate;
  ReliefStep& step = candidate.step;
  step.before = moment.before;
  for (Value value : values) {
    const std::vector<int32_t>& readers = this->readers(value);
    auto next = std::lower_bound(readers.begin(), readers.end(), moment.at);
    step.after = std::max(step.after, next == readers.begin() ? value.op : *(next - 1));
  }
  Chain chain;
  bool is_possible = add_all(values, moment, chain) && chain.extended < moment.bytes;
  for (const Relaunch& launch : chain.launches) step.seconds += seconds(launch);
  step.bytes = moment.bytes - chain.extended;
  step.kind = function_.op(values.front()).is("transfer") ? ReliefKind::copied_again : ReliefKind::recomputed;
  step.because = is_possible ? "there is nowhere to offload it" : "";
  if (can_offload(moment)) {
    double offload = 0;
    for (Value value : values)
      offload += transfer_seconds(context_, moment.device, host_, storage(value).bytes) +
                 transfer_seconds(context_, host_, moment.device, storage(value).bytes);
    if (!is_possible || offload < step.seconds) {
      step.because = is_possible ? "to make it again would take " + duration_text(step.seconds)
                                 : "what it is made of is not at hand";
      step.kind = ReliefKind::offloaded;
      step.seconds = offload;
      step.bytes = moment.bytes;
      step.waits_on = host_;
      chain = {};
      is_possible = true;
    } else {
      step.because = "offloading it would take " + duration_text(offload);
    }
  }
  if (!is_possible) return;
  step.launches = chain.launches;
  step.device = moment.device;
  step.what = value_name(graph_, function_, values.front());
  step.reader = value_name(graph_, function_, {step.before, 0});
  step.site = site(values.front().op);
  step.values = std::move(values);
  candidate.transient = transient(chain, step.values);
  candidate.kept = std::move(chain.kept);
  found.push_back(std::move(candidate));
}

bool ReliefCandidates::can_offload(const Moment& moment) const {
  if (moment.device == host_ || !context_.machine) return false;
  if (!context_.machine->try_link(moment.device, host_) || !context_.machine->try_link(host_, moment.device))
    return false;
  for (const DeviceNeed& need : need_.devices)
    if (need.device == host_) return need.capacity - need.bytes >= moment.bytes;
  return true;
}

// Whether a value is in memory at the moment, or at small cost may stay there until it is read.
bool ReliefCandidates::is_there(Value value, const Moment& moment) const {
  if (moment.gone->contains(value)) return false;
  if (auto at = overwritten_at_.find(value); at != overwritten_at_.end()) return at->second >= moment.before;
  return storage(value).kind != StorageKind::temporary || last_reader(value) >= moment.at;
}

// Has the value at hand just before the late reader.
bool ReliefCandidates::add_value(Value value, const Moment& moment, Chain& chain) const {
  if (chain.made.contains(value)) return true;
  Value shown = root(value);
  if (is_there(shown, moment)) {
    chain.kept.push_back(shown);
    return true;
  }
  if (storage(shown).kind != StorageKind::temporary || moment.gone->contains(shown)) return false;
  if (!is_alias(value.op)) {
    int64_t bytes = round_up(storage(value).bytes, alignment);
    if (bytes <= moment.little || value.op < moment.start) {
      chain.kept.push_back(value);
      chain.extended += bytes;
      return true;
    }
    return add_launch(value.op, {value.result}, moment, chain);
  }
  if (!add_value(function_.op(value).operands[0], moment, chain)) return false;
  if (!chain.made.contains(function_.op(value).operands[0])) return true;  // kept, and with it what shows it
  chain.launches.push_back({value.op, {0}, {}});
  chain.made.insert(value);
  return chain.launches.size() <= moment.most_launches;
}

bool ReliefCandidates::add_launch(int32_t op, std::vector<int32_t> results, const Moment& moment, Chain& chain) const {
  Relaunch launch{op, std::move(results), {}};
  const Op& made = function_.ops[op];
  for (int32_t r = 0; r < static_cast<int32_t>(made.results.size()); ++r)
    if (made.is("fused") && std::find(launch.results.begin(), launch.results.end(), r) == launch.results.end() &&
        is_there({op, r}, moment))
      launch.read.push_back(r);
  RelaunchReads reads = reads_of(graph_, made, launch);
  if (!reads.is_allowed || chain.launches.size() >= moment.most_launches) return false;
  for (Value value : reads.values)
    if (!add_value(value, moment, chain)) return false;
  for (int32_t result : launch.results) chain.made.insert({op, result});
  chain.launches.push_back(std::move(launch));
  return chain.launches.size() <= moment.most_launches;
}

double ReliefCandidates::seconds(const Relaunch& launch) {
  if (is_alias(launch.op)) return 0;
  std::vector<int32_t> key{launch.op, static_cast<int32_t>(launch.results.size())};
  key.insert(key.end(), launch.results.begin(), launch.results.end());
  key.insert(key.end(), launch.read.begin(), launch.read.end());
  auto [at, is_new] = seconds_.try_emplace(std::move(key), 0);
  if (is_new) at->second = relaunch_seconds(graph_, context_, launch);
  return at->second;
}

SourceSite ReliefCandidates::site(int32_t op) const {
  const Origin& origin = graph_.origins[function_.ops[op].origin];
  return origin.frames.empty() ? SourceSite{} : origin.frames.front();
}

}  // namespace placewright
