#include "max_flow.h"

#include <algorithm>
#include <limits>

namespace placewright {

int MaxFlow::add_node() {
  nodes_.emplace_back();
  return static_cast<int>(nodes_.size()) - 1;
}

// What both terminals can carry through the node flows at once.
void MaxFlow::add_terminal(int node, int64_t from_source, int64_t to_sink) {
  int64_t& residual = nodes_[node].residual;
  if (residual > 0)
    from_source += residual;
  else
    to_sink -= residual;
  flow_ += std::min(from_source, to_sink);
  residual = from_source - to_sink;
}

void MaxFlow::add_arc(int from, int to, int64_t capacity, int64_t reverse) {
  given_.push_back({from, to, capacity, reverse});
}

void MaxFlow::lay_out() {
  first_.assign(nodes_.size() + 1, 0);
  for (const Given& given : given_) {
    ++first_[given.from + 1];
    ++first_[given.to + 1];
  }
  for (size_t n = 0; n < nodes_.size(); ++n) first_[n + 1] += first_[n];
  arcs_.resize(given_.size() * 2);
  place_.reserve(given_.size());
  std::vector<int> next(first_.begin(), first_.end() - 1);
  for (const Given& given : given_) {
    int there = next[given.from]++, back = next[given.to]++;
    arcs_[there] = {given.to, back, given.capacity};
    arcs_[back] = {given.from, there, given.reverse};
    place_.push_back(there);
  }
}

void MaxFlow::activate(int node) {
  if (nodes_[node].active) return;
  nodes_[node].active = true;
  active_.push_back(node);
}

int64_t MaxFlow::solve() {
  lay_out();
  for (int n = 0; n < static_cast<int>(nodes_.size()); ++n) {
    Node& node = nodes_[n];
    if (node.residual == 0) continue;
    node.tree = node.residual > 0 ? Tree::source : Tree::sink;
    node.parent = terminal;
    node.distance = 1;
    activate(n);
  }
  while (next_active_ < active_.size()) {
    int node = active_[next_active_];
    int middle = nodes_[node].tree == Tree::free ? none : grow(node);
    if (middle == none) {
      nodes_[node].active = false;
      ++next_active_;
      if (next_active_ > 4096 && next_active_ * 2 > active_.size()) {
        active_.erase(active_.begin(), active_.begin() + static_cast<std::ptrdiff_t>(next_active_));
        next_active_ = 0;
      }
      continue;
    }
    ++time_;
    augment(middle);
    while (!orphans_.empty()) {
      int lost = orphans_.back();
      orphans_.pop_back();
      adopt(lost);
    }
  }
  return flow_;
}

// Takes free neighbours into the node's tree. The arc, from the source's tree to the sink's, over which the trees meet.
int MaxFlow::grow(int n) {
  Node& node = nodes_[n];
  for (int arc = first_[n]; arc < first_[n + 1]; ++arc) {
    if (toward_tree(node.tree, arc) == 0) continue;
    Node& other = nodes_[arcs_[arc].head];
    if (other.tree == Tree::free) {
      other.tree = node.tree;
      other.parent = arcs_[arc].sister;
      other.time = node.time;
      other.distance = node.distance + 1;
      activate(arcs_[arc].head);
    } else if (other.tree != node.tree) {
      return node.tree == Tree::source ? arc : arcs_[arc].sister;
    } else if (other.time <= node.time && other.distance > node.distance) {
      other.parent = arcs_[arc].sister;  // a shorter way to the root
      other.time = node.time;
      other.distance = node.distance + 1;
    }
  }
  return none;
}

void MaxFlow::make_orphan(int node) {
  nodes_[node].parent = orphan;
  orphans_.push_back(node);
}

// Pushes what the path source -> ... -> middle arc -> ... -> sink can carry; nodes behind a saturated arc are orphans.
void MaxFlow::augment(int middle) {
  int64_t amount = arcs_[middle].residual;
  int from = arcs_[arcs_[middle].sister].head, to = arcs_[middle].head, n = from;
  for (; nodes_[n].parent != terminal; n = arcs_[nodes_[n].parent].head)
    amount = std::min(amount, arcs_[arcs_[nodes_[n].parent].sister].residual);
  amount = std::min(amount, nodes_[n].residual);
  for (n = to; nodes_[n].parent != terminal; n = arcs_[nodes_[n].parent].head)
    amount = std::min(amount, arcs_[nodes_[n].parent].residual);
  amount = std::min(amount, -nodes_[n].residual);

  arcs_[middle].residual -= amount;
  arcs_[arcs_[middle].sister].residual += amount;
  for (n = from; nodes_[n].parent != terminal;) {
    int parent = nodes_[n].parent;
    arcs_[parent].residual += amount;
    if ((arcs_[arcs_[parent].sister].residual -= amount) == 0) make_orphan(n);
    n = arcs_[parent].head;
  }
  if ((nodes_[n].residual -= amount) == 0) make_orphan(n);
  for (n = to; nodes_[n].parent != terminal;) {
    int parent = nodes_[n].parent;
    arcs_[arcs_[parent].sister].residual += amount;
    if ((arcs_[parent].residual -= amount) == 0) make_orphan(n);
    n = arcs_[parent].head;
  }
  if ((nodes_[n].residual += amount) == 0) make_orphan(n);
  flow_ += amount;
}

// Whether the way over parents ends at a terminal; marks the way with true distances.
bool MaxFlow::leads_to_root(int node, int& distance) {
  int steps = 0, n = node;
  while (true) {
    if (nodes_[n].time == time_) {
      steps += nodes_[n].distance;
      break;
    }
    int parent = nodes_[n].parent;
    ++steps;
    if (parent == terminal) {
      nodes_[n].time = time_;
      nodes_[n].distance = 1;
      break;
    }
    if (parent == orphan || parent == none) return false;
    n = arcs_[parent].head;
  }
  distance = steps;
  for (n = node; nodes_[n].time != time_; n = arcs_[nodes_[n].parent].head) {
    nodes_[n].time = time_;
    nodes_[n].distance = steps--;
  }
  return true;
}

// Finds the orphan a new parent in its tree, the nearest to the root; else it leaves the tree, and its children are
// orphans.
void MaxFlow::adopt(int n) {
  Node& node = nodes_[n];
  int best = none, best_distance = std::numeric_limits<int>::max();
  for (int arc = first_[n]; arc < first_[n + 1]; ++arc) {
    int64_t from_parent = node.tree == Tree::source ? arcs_[arcs_[arc].sister].residual : arcs_[arc].residual;
    int distance = 0;
    if (from_parent == 0 || nodes_[arcs_[arc].head].tree != node.tree) continue;
    if (nodes_[arcs_[arc].head].parent == none || !leads_to_root(arcs_[arc].head, distance)) continue;
    if (distance < best_distance) {
      best_distance = distance;
      best = arc;
    }
  }
  if (best != none) {
    node.parent = best;
    node.time = time_;
    node.distance = best_distance + 1;
    return;
  }
  for (int arc = first_[n]; arc < first_[n + 1]; ++arc) {
    int other = arcs_[arc].head;
    if (nodes_[other].tree != node.tree) continue;
    int64_t from_parent = node.tree == Tree::source ? arcs_[arcs_[arc].sister].residual : arcs_[arc].residual;
    if (from_parent > 0) activate(other);
    int parent = nodes_[other].parent;
    if (parent >= 0 && arcs_[parent].head == n) make_orphan(other);
  }
  node.tree = Tree::free;
  node.parent = none;
}

MaxFlow::Side MaxFlow::side(int node) const {
  switch (nodes_[node].tree) {
    case Tree::source:
      return Side::source;
    case Tree::sink:
      return Side::sink;
    case Tree::free:
      break;
  }
  return Side::either;
}

}  // namespace placewright
