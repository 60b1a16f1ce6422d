// Ops by name, for people: as plan files name them, by what they are, or by their line.
#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "spelling.h"
#include "why_report.h"

namespace placewright::tools {
namespace {

constexpr size_t most_candidates = 8;

std::string listed(const GraphPlacement& placed, const std::vector<int32_t>& ops) {
  std::string text;
  for (size_t i = 0; i < std::min(ops.size(), most_candidates); ++i)
    text += (i == 0 ? "" : ", ") + placed.plan.ops[ops[i]].key;
  if (ops.size() > most_candidates) text += fmt::format(" and {} more", ops.size() - most_candidates);
  return text;
}

// "train.cc:12" also stands for "examples/train.cc:12".
bool is_at(const SourceSite& site, const std::string& text) {
  if (site.file.empty()) return false;
  const std::string whole = site.to_string();
  return whole == text ||
         (whole.size() > text.size() && whole.ends_with(text) && whole[whole.size() - text.size() - 1] == '/');
}

// Those that contain the text, else those that are spelled most like it.
std::vector<int32_t> nearest(const GraphPlacement& placed, const std::string& text) {
  std::vector<int32_t> found;
  for (const OpPlacement& op : placed.plan.ops)
    if (op.key.find(text) != std::string::npos) found.push_back(op.op);
  if (!found.empty()) return found;
  constexpr size_t few = 2000;  // spelling is not compared with more
  for (size_t i = 0; i < std::min(few, placed.plan.ops.size()); ++i) found.push_back(static_cast<int32_t>(i));
  auto how_far = [&](int32_t op) {
    return std::min(distance(text, placed.plan.ops[op].key), distance(text, placed.plan.ops[op].what));
  };
  std::vector<std::pair<size_t, int32_t>> ranked;
  for (int32_t op : found) ranked.emplace_back(how_far(op), op);
  std::stable_sort(ranked.begin(), ranked.end());
  found.clear();
  for (size_t i = 0; i < std::min<size_t>(ranked.size(), 3); ++i) found.push_back(ranked[i].second);
  return found;
}

}  // namespace

int32_t find_op(const GraphPlacement& placed, const std::string& text) {
  std::vector<int32_t> found;
  for (const OpPlacement& op : placed.plan.ops) {
    if (op.key == text) return op.op;  // names no other
    if (op.what == text || is_at(op.site, text)) found.push_back(op.op);
  }
  if (found.size() == 1) return found.front();
  if (!found.empty())
    throw Error(fmt::format("'{}' means {} ops; name one of them: {}", text, found.size(), listed(placed, found)));
  if (placed.plan.ops.empty()) throw Error(fmt::format("no op is named '{}': the model has none", text));
  throw Error(fmt::format("no op is named '{}', by key, by name or by line; nearest are {}", text,
                          listed(placed, nearest(placed, text))));
}

}  // namespace placewright::tools
