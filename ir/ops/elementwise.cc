#include "elementwise.h"

namespace placewright::ops {

std::vector<OpEntry> elementwise() {
  std::vector<OpEntry> entries = unary_ops();
  for (auto family : {binary_ops, selection_ops})
    for (OpEntry& entry : family()) entries.push_back(std::move(entry));
  return entries;
}

}  // namespace placewright::ops
