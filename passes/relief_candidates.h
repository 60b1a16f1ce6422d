// What may leave a device's memory at a moment, and at what price. Internal to passes.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "placewright/passes/relief.h"

namespace placewright {

struct ReliefCandidate {
  ReliefStep step;
  std::vector<Value> kept;  // what bringing it back reads: stays in memory until then
  int64_t transient = 0;    // bytes made on the way back, besides
};

// A graph and its memory plan, as one round of the search looks at them. Both must stay as they are.
class ReliefCandidates {
 public:
  ReliefCandidates(const Graph& graph, const PassContext& context, const MemoryNeed& need);

  // Bytes of the arena that are in use on the device, by op.
  std::vector<int64_t> alive_on(const DeviceId& device) const;
  // Those that are in memory on the device while op `moment` runs, which does not touch them; most bytes for each
  // second first. Nothing in `gone` may be read again.
  std::vector<ReliefCandidate> at(const DeviceId& device, int32_t moment, const std::set<Value>& gone);
  // Stretches of the launches before `moment`, each of which holds about `most` bytes then: all that waits of one but
  // what the next reads is made again from there. Where they meet, little is handed on. No two share a value.
  std::vector<ReliefCandidate> stretches(const DeviceId& device, int32_t moment, int64_t most);
  // Bytes that stretches can free at most.
  int64_t waiting_bytes(const DeviceId& device, int32_t moment) const;

 private:
  struct Chain;
  struct Moment {
    DeviceId device;
    int32_t at = 0, before = 0;
    int64_t bytes = 0;  // of what leaves
    const std::set<Value>* gone = nullptr;
    int64_t little = 0;        // an operand of so many bytes waits instead of the value
    int32_t start = 0;         // what is made before it waits too: where a stretch begins
    size_t most_launches = 0;  // that run again
  };

  const Storage& storage(Value value) const { return need_.plan.storages[need_.plan.storage(value)]; }
  bool is_alias(int32_t op) const;
  Value root(Value value) const;
  const std::vector<int32_t>& readers(Value value) const { return readers_[value.op][value.result]; }
  int32_t last_reader(Value value) const { return readers(value).empty() ? value.op : readers(value).back(); }
  bool is_there(Value value, const Moment& moment) const;
  Value living_in(const Storage& storage, int32_t moment) const;
  std::vector<Value> waiting_at(const DeviceId& device, int32_t moment) const;
  std::vector<int32_t> ends_of_stretches(const std::vector<Value>& waiting, int32_t moment, int64_t most) const;
  Moment moment_of(const std::vector<Value>& values, const DeviceId& device, int32_t at,
                   const std::set<Value>& gone) const;
  void add(std::vector<Value> values, Moment moment, std::vector<ReliefCandidate>& found);
  bool add_all(const std::vector<Value>& values, const Moment& moment, Chain& chain) const;
  int64_t transient(const Chain& chain, const std::vector<Value>& values) const;
  bool add_value(Value value, const Moment& moment, Chain& chain) const;
  bool add_launch(int32_t op, std::vector<int32_t> results, const Moment& moment, Chain& chain) const;
  double seconds(const Relaunch& launch);
  bool can_offload(const Moment& moment) const;
  SourceSite site(int32_t op) const;

  const Graph& graph_;
  const Function& function_;
  const PassContext& context_;
  const MemoryNeed& need_;
  DeviceId host_;
  std::vector<std::vector<std::vector<int32_t>>> readers_;  // [op][result], ascending; of views at what they show
  std::map<Value, int32_t> overwritten_at_;                 // states that are written in place: the op that does it
  std::map<std::vector<int32_t>, double> seconds_;          // of launches
};

// Most bytes for each second first.
void sort_by_worth(std::vector<ReliefCandidate>& candidates);

}  // namespace placewright
