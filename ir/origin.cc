#include <algorithm>
#include <array>
#include <unordered_set>

#include "placewright/base/error.h"
#include "placewright/ir/merged_origins.h"

namespace placewright {

std::string_view name(Role role) {
  constexpr std::array<std::string_view, 4> names{"forward", "backward", "update", "transfer"};
  return names[static_cast<size_t>(role)];
}

std::string SourceSite::to_string() const { return file + ":" + std::to_string(line); }

std::string Origin::site() const { return frames.empty() ? "unknown" : frames.front().to_string(); }

std::string Origin::name() const {
  std::string text = module_path.empty() ? "" : module_path + "/";
  return text + std::string(placewright::name(role)) + "#" + std::to_string(ordinal);
}

OriginTable::OriginTable() : origins_(1), ids_{{Origin{}, 0}} {}
OriginTable::OriginTable(const OriginTable&) = default;
OriginTable::OriginTable(OriginTable&&) noexcept = default;
OriginTable& OriginTable::operator=(const OriginTable&) = default;
OriginTable& OriginTable::operator=(OriginTable&&) noexcept = default;
OriginTable::~OriginTable() = default;

OriginId OriginTable::intern(Origin origin) {
  auto [at, is_new] = ids_.try_emplace(origin, size());
  if (is_new) origins_.push_back(std::move(origin));
  return at->second;
}

// What was merged into one of them is not listed again: where many launches compute it, all lists together would grow
// with the square of the graph.
OriginId OriginTable::merge(std::span<const OriginId> origins) {
  std::vector<OriginId> others;  // many where a whole step is one launch
  for (OriginId id : origins)
    if (id != 0) others.push_back(id);
  const OriginId first = others.empty() ? 0 : others.front();
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  if (others.size() < 2) return first;
  const Origin& known = origins_[first];
  if (known.merged.empty()) std::erase(others, first);
  return intern({known.frames, known.module_path, known.role, known.ordinal, std::move(others)});
}

std::vector<OriginId> merged_origins(const OriginTable& origins, OriginId id) {
  std::vector<OriginId> all;
  std::unordered_set<OriginId> seen{id};
  auto add = [&](OriginId from) {
    for (OriginId merged : origins[from].merged)
      if (seen.insert(merged).second) all.push_back(merged);
  };
  add(id);
  for (size_t i = 0; i < all.size(); ++i) add(all[i]);
  std::sort(all.begin(), all.end());
  all.insert(all.begin(), id);
  return all;
}

OriginId OriginTable::with_role(OriginId id, Role role) {
  if (id == 0 || origins_[id].role == role) return id;
  Origin origin = origins_[id];
  origin.role = role;
  return intern(std::move(origin));
}

}  // namespace placewright
