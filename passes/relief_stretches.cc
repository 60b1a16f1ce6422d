// Stretches of launches that are run again as a whole, as between checkpoints (Chen et al., "Training Deep Nets with
// Sublinear Memory Cost", 2016): the borders lie where the forward pass hands on least.
#include <algorithm>

#include "placewright/base/checked.h"
#include "relief_candidates.h"

namespace placewright {
namespace {

constexpr int64_t alignment = 64;
constexpr int64_t worth_remaking = 8;   // what is so many times smaller than a usual value of the stretch waits
constexpr size_t launches_a_value = 4;  // that run again in a stretch

}  // namespace

int64_t ReliefCandidates::waiting_bytes(const DeviceId& device, int32_t moment) const {
  int64_t bytes = 0;
  for (Value value : waiting_at(device, moment)) bytes += round_up(storage(value).bytes, alignment);
  return bytes;
}

// The last op of each stretch.
std::vector<int32_t> ReliefCandidates::ends_of_stretches(const std::vector<Value>& waiting, int32_t moment,
                                                         int64_t most) const {
  // Bytes of what is made up to each op and read behind it, but before the moment.
  std::vector<int64_t> crossing(static_cast<size_t>(moment) + 1, 0);
  for (int32_t op = 0; op < moment; ++op)
    for (size_t r = 0; r < readers_[op].size(); ++r) {
      const Value value{op, static_cast<int32_t>(r)};
      if (is_alias(op) || storage(value).kind != StorageKind::temporary) continue;
      const std::vector<int32_t>& readers = readers_[op][r];
      auto behind = std::upper_bound(readers.begin(), readers.end(), moment);
      if (behind == readers.begin() || *(behind - 1) <= op) continue;
      crossing[op] += storage(value).bytes;
      crossing[*(behind - 1)] -= storage(value).bytes;
    }
  for (size_t i = 1; i < crossing.size(); ++i) crossing[i] += crossing[i - 1];
  std::vector<int32_t> ends;
  int64_t held = 0;
  int32_t from = -1;  // of where the stretch may end
  for (size_t i = 0; i < waiting.size(); ++i) {
    held += round_up(storage(waiting[i]).bytes, alignment);
    if (from < 0 && held >= most / 2) from = waiting[i].op;
    const bool is_last = i + 1 == waiting.size();
    if (is_last || held < most || waiting[i + 1].op == waiting[i].op) continue;
    int32_t end = from;
    for (int32_t op = from; op < waiting[i + 1].op; ++op)
      if (crossing[op] <= crossing[end]) end = op;
    ends.push_back(end);
    from = -1;
    held = 0;
    for (size_t j = i + 1; j-- > 0 && waiting[j].op > end;) held += round_up(storage(waiting[j]).bytes, alignment);
  }
  ends.push_back(moment - 1);
  return ends;
}

std::vector<ReliefCandidate> ReliefCandidates::stretches(const DeviceId& device, int32_t moment, int64_t most) {
  const std::vector<Value> waiting = waiting_at(device, moment);
  std::vector<std::vector<Value>> values;
  std::vector<int32_t> starts;
  std::set<Value> gone;
  size_t next = 0;
  int32_t start = 0;
  for (int32_t end : ends_of_stretches(waiting, moment, most)) {
    std::vector<Value> own;
    for (; next < waiting.size() && waiting[next].op <= end; ++next) {
      const std::vector<int32_t>& readers = this->readers(waiting[next]);
      auto late = std::lower_bound(readers.begin(), readers.end(), moment);
      if (late != readers.begin() && *(late - 1) > end) continue;  // handed on: it waits
      own.push_back(waiting[next]);
    }
    gone.insert(own.begin(), own.end());
    values.push_back(std::move(own));
    starts.push_back(start);
    start = end + 1;
  }
  std::vector<ReliefCandidate> found;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].empty()) continue;
    for (Value value : values[i]) gone.erase(value);
    Moment what = moment_of(values[i], device, moment, gone);
    what.little = what.bytes / static_cast<int64_t>(values[i].size()) / worth_remaking;
    what.start = starts[i];
    what.most_launches = values[i].size() * launches_a_value;
    add(values[i], what, found);
    gone.insert(values[i].begin(), values[i].end());
  }
  return found;
}

}  // namespace placewright
