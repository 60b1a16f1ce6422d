#include "placewright/ir/placement_rule.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/ir/graph.h"
#include "placewright/ir/merged_origins.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/parse_type.h"

namespace placewright {
namespace {

constexpr std::array all_kinds{PlacementRule::Kind::pin, PlacementRule::Kind::allow, PlacementRule::Kind::together};

// Greedy with one step back to the last `*`: linear but for patterns of many stars.
bool matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, behind = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      behind = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++behind;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// The path itself, or one of what it is inside of: "encoder.0.fc", "encoder.0", "encoder".
bool matches_path(std::string_view pattern, std::string_view path) {
  while (!path.empty()) {
    if (matches(pattern, path)) return true;
    size_t dot = path.rfind('.');
    path = dot == std::string_view::npos ? "" : path.substr(0, dot);
  }
  return false;
}

}  // namespace

std::string_view name(PlacementRule::Kind kind) {
  switch (kind) {
    case PlacementRule::Kind::pin:
      return "pin";
    case PlacementRule::Kind::allow:
      return "allow";
    case PlacementRule::Kind::together:
      return "together";
  }
  return "";
}

bool means(const PlacementRule& rule, const Graph& graph, const Op& op) {
  const bool names_op = rule.pattern.find_first_of("/:") != std::string::npos;
  if (op.is("constant")) return false;
  if (op.is("input")) {
    const std::string& input = op.attributes.get<std::string>("name");
    if (names_op) return matches(rule.pattern, op_name(graph, op));
    return op.attributes.get<std::string>("kind") == name(InputKind::state) && matches_path(rule.pattern, input);
  }
  auto of_origin = [&](OriginId id) {
    const Origin& origin = graph.origins[id];
    if (!names_op) return matches_path(rule.pattern, origin.module_path);
    const std::string place = id == 0 ? "unknown" : origin.name();
    return matches(rule.pattern, place) || matches(rule.pattern, fmt::format("{}:{}", place, op.name()));
  };
  const std::vector<OriginId> origins = merged_origins(graph.origins, op.origin);
  return std::any_of(origins.begin(), origins.end(), of_origin);
}

PlacementRule parse_placement_rule(Lexer& lexer) {
  PlacementRule rule;
  auto kind = std::find_if(all_kinds.begin(), all_kinds.end(), [&](auto each) { return lexer.accept(name(each)); });
  if (kind == all_kinds.end()) lexer.fail("pin, allow or together");
  rule.kind = *kind;
  size_t at = lexer.position();
  rule.pattern = lexer.string("a pattern of names, in quotes");
  if (rule.pattern.empty()) lexer.fail_at(at, "found an empty pattern, expected names of ops or modules");
  if (rule.kind != PlacementRule::Kind::together) {
    lexer.expect("on");
    do rule.devices.push_back(parse_device(lexer));
    while (rule.kind == PlacementRule::Kind::allow && lexer.accept(","));
    if (lexer.next_is(",")) lexer.fail("nothing behind the one device of a pin: allow leaves several");
  }
  if (lexer.accept("from")) rule.site = parse_site(lexer);
  return rule;
}

std::vector<PlacementRule> parse_placement_rules(std::string_view text, std::string_view name) {
  Lexer lexer(text, std::string(name));
  std::vector<PlacementRule> rules;
  while (!lexer.at_end()) {
    size_t at = lexer.position();
    rules.push_back(parse_placement_rule(lexer));
    if (rules.back().site.file.empty())
      rules.back().site = {std::string(name), 1 + static_cast<int>(std::count(
                                                      text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n'))};
  }
  return rules;
}

std::string print_placement_rule(const PlacementRule& rule) {
  std::vector<std::string> devices;
  for (const DeviceId& device : rule.devices) devices.push_back(device.to_string());
  return fmt::format("{} {}{}{}{}", name(rule.kind), quote(rule.pattern), devices.empty() ? "" : " on ",
                     join(devices, ", "),
                     rule.site.file.empty() ? "" : fmt::format(" from {}:{}", quote(rule.site.file), rule.site.line));
}

void verify_placement_rule(const PlacementRule& rule) {
  const std::string where = rule.site.file.empty() ? "" : fmt::format(" ({})", rule.site.to_string());
  if (rule.pattern.empty())
    throw Error(fmt::format("a rule for placement has no pattern, expected names of ops or modules{}", where));
  const size_t found = rule.devices.size();
  const bool is_right = rule.kind == PlacementRule::Kind::pin     ? found == 1
                        : rule.kind == PlacementRule::Kind::allow ? found > 0
                                                                  : found == 0;
  if (!is_right)
    throw Error(fmt::format("rule {} \"{}\" names {} devices, expected {}{}", name(rule.kind), rule.pattern, found,
                            rule.kind == PlacementRule::Kind::pin     ? "one"
                            : rule.kind == PlacementRule::Kind::allow ? "one or more"
                                                                      : "none",
                            where));
}

}  // namespace placewright
