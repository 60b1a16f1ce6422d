#include "group_order.h"

#include <algorithm>
#include <utility>

namespace placewright {
namespace {

constexpr size_t longest_search = 2048;  // steps from group to group, in either direction, between two that might join
constexpr int64_t label_step = int64_t{1} << 40;

}  // namespace

GroupOrder::GroupOrder(const Function& function, const std::vector<bool>& is_free) {
  const auto count = static_cast<int32_t>(function.ops.size());
  reads_.resize(function.ops.size());
  read_by_.resize(function.ops.size());
  for (int32_t op = 0; op < count; ++op) {
    group_.push_back(op);
    places_.push_back({(int64_t{op} + 1) * label_step, op - 1, op + 1 < count ? op + 1 : -1, 0});
    if (is_free[op]) continue;
    for (Value operand : function.ops[op].operands) {
      if (is_free[operand.op]) continue;
      reads_[op].push_back(operand.op);
      read_by_[operand.op].push_back(op);
    }
  }
}

bool GroupOrder::try_join(int32_t first, int32_t second, const std::vector<int32_t>& members) {
  int32_t early = first, late = second;
  if (places_[early].label > places_[late].label) std::swap(early, late);
  std::optional<Between> between = find_between(early, late);
  if (!between) return false;
  std::sort(between->groups.begin(), between->groups.end(),
            [&](int32_t a, int32_t b) { return places_[a].label < places_[b].label; });
  if (between->is_behind_early)
    move_behind(between->groups, first, early, late);
  else
    move_before(between->groups, first, early, late);
  for (int32_t op : members) group_[op] = first;
  join_neighbours(first, second);
  return true;
}

void GroupOrder::join_neighbours(int32_t first, int32_t second) {
  for (std::vector<std::vector<int32_t>>* neighbours : {&reads_, &read_by_}) {
    std::vector<int32_t>& joined = (*neighbours)[first];
    joined.insert(joined.end(), (*neighbours)[second].begin(), (*neighbours)[second].end());
    std::erase_if(joined, [&](int32_t op) { return group_[op] == first; });
    (*neighbours)[second] = {};
  }
}

// Nothing if the later one depends on the earlier one by way of others, or if there are too many to find out: then it
// most probably does.
std::optional<GroupOrder::Between> GroupOrder::find_between(int32_t early, int32_t late) {
  Search forward{{early}, 0, 0, ++mark_}, backward{{late}, 0, 0, ++mark_};
  while (!forward.is_done() && !backward.is_done()) {
    const size_t behind = forward.steps + read_by_[forward.found[forward.next]].size();
    const size_t before = backward.steps + reads_[backward.found[backward.next]].size();
    if (std::min(behind, before) > longest_search) return {};
    if (behind <= before ? !look_behind(forward, backward, early, late) : !look_before(backward, forward, early, late))
      return {};
  }
  Between between{forward.is_done(), std::move(forward.is_done() ? forward.found : backward.found)};
  between.groups.erase(between.groups.begin());
  return between;
}

// Adds what reads the next group; false if that leads to the later one.
bool GroupOrder::look_behind(Search& forward, const Search& backward, int32_t early, int32_t late) {
  const int32_t group = forward.found[forward.next++];
  forward.steps += read_by_[group].size();
  for (int32_t reader : read_by_[group]) {
    const int32_t next = group_[reader];
    Place& place = places_[next];
    if ((next == late && group == early) || place.mark == forward.mark) continue;
    if (next == late || place.mark == backward.mark) return false;
    if (place.label > places_[late].label) continue;
    place.mark = forward.mark;
    forward.found.push_back(next);
  }
  return true;
}

// Adds what the next group reads; false if that leads to the earlier one.
bool GroupOrder::look_before(Search& backward, const Search& forward, int32_t early, int32_t late) {
  const int32_t group = backward.found[backward.next++];
  backward.steps += reads_[group].size();
  for (int32_t read : reads_[group]) {
    const int32_t next = group_[read];
    Place& place = places_[next];
    if ((next == early && group == late) || place.mark == backward.mark) continue;
    if (next == early || place.mark == forward.mark) return false;
    if (place.label < places_[early].label) continue;
    place.mark = backward.mark;
    backward.found.push_back(next);
  }
  return true;
}

// What depends on the earlier one moves behind the later one, where the two are from now on.
void GroupOrder::move_behind(const std::vector<int32_t>& groups, int32_t first, int32_t early, int32_t late) {
  unlink(early);
  for (int32_t group : groups) unlink(group);
  if (first != late) take_place(first, late);
  int32_t last = first;
  for (int32_t group : groups) {
    link(group, last);
    last = group;
  }
  spread(first, last);
}

// What the later one depends on moves before the earlier one, where the two are from now on.
void GroupOrder::move_before(const std::vector<int32_t>& groups, int32_t first, int32_t early, int32_t late) {
  unlink(late);
  for (int32_t group : groups) unlink(group);
  if (first != early) take_place(first, early);
  const int32_t before = places_[first].before;
  int32_t last = before;
  for (int32_t group : groups) {
    link(group, last);
    last = group;
  }
  spread(before, last);
}

void GroupOrder::take_place(int32_t group, int32_t other) {
  places_[group].label = places_[other].label;
  link(group, other);
  unlink(other);
}

void GroupOrder::unlink(int32_t group) {
  const int32_t before = places_[group].before, behind = places_[group].behind;
  (before < 0 ? first_ : places_[before].behind) = behind;
  if (behind >= 0) places_[behind].before = before;
}

void GroupOrder::link(int32_t group, int32_t before) {
  places_[group].before = before;
  int32_t& behind = before < 0 ? first_ : places_[before].behind;
  places_[group].behind = behind;
  if (behind >= 0) places_[behind].before = group;
  behind = group;
}

// New labels for what stands behind `from`, up to `to`; for all groups where there is no room.
void GroupOrder::spread(int32_t from, int32_t to) {
  if (from == to) return;
  int64_t count = 1, low = from < 0 ? 0 : places_[from].label;
  for (int32_t group = to; group != from; group = places_[group].before) ++count;
  const int64_t high = places_[to].behind < 0 ? low + count * label_step : places_[places_[to].behind].label;
  if (high - low < count) {
    int64_t label = 0;
    for (int32_t group = first_; group >= 0; group = places_[group].behind) places_[group].label = label += label_step;
    return;
  }
  const int64_t step = (high - low) / count;
  int64_t label = high;
  for (int32_t group = to; group != from; group = places_[group].before) places_[group].label = label -= step;
}

}  // namespace placewright
