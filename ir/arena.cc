#include "arena.h"

#include <algorithm>
#include <utility>

#include "placewright/base/checked.h"

namespace placewright {
namespace {

constexpr size_t longest_run = 64;
constexpr int patience = 4;  // questions

// The best gap so far, while all that is taken is told by ascending offset.
class GapSearch {
 public:
  explicit GapSearch(int64_t bytes, int64_t tightest) : bytes_(bytes), tightest_(tightest) {}

  // False: no later gap can be better.
  bool pass(int64_t begin, int64_t end) {
    const int64_t gap = begin - end_;
    if (gap >= bytes_ && (best_ < 0 || gap < best_size_)) {
      best_ = end_;
      best_size_ = gap;
    }
    end_ = std::max(end_, end);
    return best_size_ != tightest_;
  }

  int64_t offset() const { return best_ >= 0 ? best_ : end_; }

 private:
  int64_t bytes_, tightest_;
  int64_t best_ = -1, best_size_ = 0, end_ = 0;
};

}  // namespace

void Arena::Run::note(const Placed& made) {
  end_ = std::max(end_, made.end);
  first_ = last_ < 0 ? made.first : std::min(first_, made.first);
  last_ = std::max(last_, made.last);
}

void Arena::Run::add(const Placed& made) {
  auto behind = [](const Placed& a, const Placed& b) { return a.offset < b.offset; };
  placed_.insert(std::upper_bound(placed_.begin(), placed_.end(), made, behind), made);
  note(made);
  full_times_.clear();
  questions_ = 0;
}

Arena::Run Arena::Run::split() {
  const std::vector<Placed> all = std::exchange(placed_, {});
  Run upper;
  end_ = 0;
  last_ = -1;
  for (size_t i = 0; i < all.size(); ++i) (i < all.size() / 2 ? *this : upper).add(all[i]);
  return upper;
}

bool Arena::Run::is_full(const Life& life) {
  if (questions_ < patience && ++questions_ == patience) find_full_times();
  auto ends_before = [](const Life& times, int32_t first) { return times.last < first; };
  auto at = std::lower_bound(full_times_.begin(), full_times_.end(), life.first, ends_before);
  return at != full_times_.end() && at->first <= life.last;
}

// What lives at one time does not overlap: it leaves nothing free where its sizes sum up to all there is.
void Arena::Run::find_full_times() {
  std::vector<std::pair<int32_t, int64_t>> changes;
  for (const Placed& made : placed_) {
    changes.emplace_back(made.first, made.end - made.offset);
    changes.emplace_back(made.last + 1, made.offset - made.end);
  }
  std::sort(changes.begin(), changes.end());
  int64_t taken = 0;
  for (size_t i = 0; i < changes.size();) {
    const int32_t time = changes[i].first;
    for (; i < changes.size() && changes[i].first == time; ++i) taken += changes[i].second;
    if (taken == end_ - begin()) full_times_.push_back({time, changes[i].first - 1});
  }
}

int64_t Arena::place(int32_t first, int32_t last, int64_t bytes) {
  const Life life{first, last};
  GapSearch search(bytes, round_up(bytes, alignment_));
  bool may_improve = true;
  for (size_t r = 0; r < runs_.size() && may_improve; ++r) {
    Run& run = runs_[r];
    if (!run.is_used(life)) continue;
    if (run.is_full(life)) {
      may_improve = search.pass(run.begin(), run.end());
      continue;
    }
    const std::vector<Placed>& placed = run.placed();
    for (size_t i = 0; i < placed.size() && may_improve; ++i)
      if (placed[i].first <= last && first <= placed[i].last)
        may_improve = search.pass(placed[i].offset, placed[i].end);
  }
  const int64_t offset = search.offset();
  const Placed made{first, last, offset, round_up(checked_add(offset, bytes), alignment_)};
  if (runs_.empty()) runs_.emplace_back();
  auto begins_behind = [](int64_t at, const Run& run) { return at < run.begin(); };
  auto run =
      runs_.size() == 1 ? runs_.begin() : std::upper_bound(runs_.begin() + 1, runs_.end(), offset, begins_behind) - 1;
  run->add(made);
  if (run->placed().size() > longest_run) {
    Run upper = run->split();
    runs_.insert(run + 1, std::move(upper));
  }
  return offset;
}

}  // namespace placewright
