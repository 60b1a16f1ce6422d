// The user's wishes about all ops that a name stands for, where `Pin` is about one op.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/base/lexer.h"
#include "placewright/ir/origin.h"
#include "placewright/ir/type.h"

namespace placewright {

struct Function;
struct Graph;
struct Op;

struct PlacementRule {
  enum class Kind : uint8_t {
    pin,       // they run on one device, as if each were pinned
    allow,     // they run on these devices only
    together,  // they run on one device, whichever it is
  };
  Kind kind = Kind::pin;
  // `*` stands for any characters, `?` for one. With a `/` or `:` in it, it is compared with an op's name in plan files
  // ("fc/forward#0:dot_general", "input:x"); else with the path of its module and of the modules around that ("fc" and
  // "encoder.*" mean all that is in them), or with a state's name ("fc.weight").
  std::string pattern;
  std::vector<DeviceId> devices;  // pin: one; allow: at least one; together: none
  SourceSite site;                // where it was said
  friend bool operator==(const PlacementRule&, const PlacementRule&) = default;
};
std::string_view name(PlacementRule::Kind kind);

// Constants, which every device may have for itself, no rule means; arguments only those that name them ("input:x").
// An op that stands for several that were equal is meant if one of them is.
bool means(const PlacementRule& rule, const Graph& graph, const Op& op);

// One rule a line, as files have them: `pin "encoder" on sim:0`, `allow "head.*" on cpu:0, sim:0`, `together "embed"`;
// graphs have `from "train.cc":31` behind them. `//` begins a comment. Error names `name` (the file), line and column.
std::vector<PlacementRule> parse_placement_rules(std::string_view text, std::string_view name);
std::string print_placement_rule(const PlacementRule& rule);  // with its site; no line end

PlacementRule parse_placement_rule(Lexer& lexer);  // its site: what stands behind `from`, else none

// Error unless the rule has a pattern and as many devices as its kind takes.
void verify_placement_rule(const PlacementRule& rule);

}  // namespace placewright
