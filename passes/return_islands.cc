#include "placewright/passes/return_islands.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace placewright {
namespace {

using Groups = std::vector<int>;

// Groups that stand elsewhere, as far as values join them.
std::vector<Groups> find_islands(const PlacementProblem& problem, const std::vector<std::vector<int>>& values_of,
                                 const Labels& labels, const Labels& base) {
  std::vector<bool> is_left(labels.size());
  for (size_t g = 0; g < labels.size(); ++g) is_left[g] = labels[g] != base[g];
  std::vector<Groups> islands;
  for (size_t g = 0; g < labels.size(); ++g) {
    if (!is_left[g]) continue;
    Groups& island = islands.emplace_back();
    auto reach = [&](int group) {
      if (!is_left[static_cast<size_t>(group)]) return;
      is_left[static_cast<size_t>(group)] = false;
      island.push_back(group);
    };
    reach(static_cast<int>(g));
    for (size_t i = 0; i < island.size(); ++i)
      for (int v : values_of[static_cast<size_t>(island[i])]) {
        const PlacementProblem::Value& value = problem.values[static_cast<size_t>(v)];
        reach(value.producer);
        for (int consumer : value.consumers) reach(consumer);
      }
  }
  return islands;
}

}  // namespace

void return_islands(const PlacementProblem& problem, Labels labels, const Labels& base, size_t most_tried,
                    const std::function<bool(const Labels&)>& keep) {
  const std::vector<std::vector<int>> values_of = values_of_groups(problem);
  std::set<Labels> known{labels, base};
  auto without = [&](const Groups& returned) {
    Labels made = labels;
    for (int group : returned) made[static_cast<size_t>(group)] = base[static_cast<size_t>(group)];
    return made;
  };
  for (bool has_kept = true; has_kept && most_tried > 0;) {
    has_kept = false;
    std::vector<Groups> candidates = find_islands(problem, values_of, labels, base);
    for (size_t g = 0; g < labels.size(); ++g)
      if (labels[g] != base[g]) candidates.push_back({static_cast<int>(g)});
    std::vector<std::pair<int64_t, size_t>> savers;  // what the sum then is, and which candidate
    const int64_t now = energy(problem, labels);
    for (size_t c = 0; c < candidates.size(); ++c)
      if (const int64_t sum = energy(problem, without(candidates[c])); sum < now) savers.emplace_back(sum, c);
    std::sort(savers.begin(), savers.end());
    for (const auto& [sum, candidate] : savers) {
      Labels tried = without(candidates[candidate]);
      if (most_tried == 0 || !known.insert(tried).second) continue;
      --most_tried;
      has_kept = keep(tried);
      if (!has_kept) continue;
      labels = std::move(tried);
      break;
    }
  }
}

}  // namespace placewright
