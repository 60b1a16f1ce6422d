// Where an op comes from. Pins, plans, profiles, diffs and messages name origins, never value numbers.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace placewright {

// A line of the user's code; the path is relative to the source root.
struct SourceSite {
  std::string file;
  int line = 0;
  std::string to_string() const;
  friend auto operator<=>(const SourceSite&, const SourceSite&) = default;
};

enum class Role : uint8_t { forward, backward, update, transfer };
std::string_view name(Role role);

// An index into a Graph's OriginTable; 0 is the unknown origin.
using OriginId = int32_t;

struct Origin {
  std::vector<SourceSite> frames;  // innermost frame of the user's own code first, its callers behind
  std::string module_path;         // "features.0"; empty outside modules
  Role role = Role::forward;
  int32_t ordinal = 0;           // among the ops of this module path and role, in order of capture
  std::vector<OriginId> merged;  // origins of the ops that a rewrite joined into this one, sorted

  bool has_site() const { return !frames.empty(); }
  std::string site() const;
  std::string name() const;  // "features.0/forward#2"
  friend auto operator<=>(const Origin&, const Origin&) = default;
};

// Interns origins, so that equal ones have equal ids. Ids are stable: the table only grows.
class OriginTable {
 public:
  OriginTable();
  OriginTable(const OriginTable&);
  OriginTable(OriginTable&&) noexcept;
  OriginTable& operator=(const OriginTable&);
  OriginTable& operator=(OriginTable&&) noexcept;
  ~OriginTable();
  OriginId intern(Origin origin);
  const Origin& operator[](OriginId id) const { return origins_[id]; }
  // The origin of an op that stands for all of them; keeps the first known one's site, path and ordinal.
  OriginId merge(std::span<const OriginId> origins);
  // The same place in the user's code, in another role: gradients and transfers of an op.
  OriginId with_role(OriginId id, Role role);
  OriginId size() const { return static_cast<OriginId>(origins_.size()); }

 private:
  std::vector<Origin> origins_;
  std::map<Origin, OriginId> ids_;
};

}  // namespace placewright
