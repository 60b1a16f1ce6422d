#include "placewright/ir/origin.h"

#include <algorithm>
#include <array>

#include "placewright/base/error.h"

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

OriginId OriginTable::merge(std::span<const OriginId> origins) {
  OriginId first = 0;
  std::vector<OriginId> others;  // many where a whole step is one launch
  for (OriginId id : origins) {
    if (first == 0) first = id;
    others.push_back(id);
    others.insert(others.end(), origins_[id].merged.begin(), origins_[id].merged.end());
  }
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  std::erase_if(others, [&](OriginId id) { return id == 0 || id == first; });
  Origin merged = origins_[first];
  merged.merged = std::move(others);
  return intern(std::move(merged));
}

OriginId OriginTable::with_role(OriginId id, Role role) {
  if (id == 0 || origins_[id].role == role) return id;
  Origin origin = origins_[id];
  origin.role = role;
  return intern(std::move(origin));
}

}  // namespace placewright
