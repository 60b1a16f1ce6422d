// Maximum flow and minimum cut on graphs whose nodes have arcs to two terminals, by Boykov and Kolmogorov (2004),
// doi:10.1109/TPAMI.2004.60: two search trees that grow from the terminals and are mended, not rebuilt, after each
// path. Internal to passes. Capacities are integers of at most 2^60; the answer does not depend on the order of
// pointers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace placewright {

class MaxFlow {
 public:
  enum class Side : uint8_t { source, sink, either };  // either: residually reached from neither terminal

  explicit MaxFlow(int nodes) : nodes_(static_cast<size_t>(nodes)) {}

  void reserve(size_t nodes, size_t arcs) {
    nodes_.reserve(nodes);
    given_.reserve(arcs);
  }

  int add_node();
  void add_terminal(int node, int64_t from_source, int64_t to_sink);
  void add_arc(int from, int to, int64_t capacity, int64_t reverse = 0);

  int64_t solve();  // once
  Side side(int node) const;
  // After solve: what flows over the arc-th arc that was added; negative if against its direction.
  int64_t flow(int arc) const { return given_[arc].capacity - arcs_[place_[arc]].residual; }

 private:
  static constexpr int none = -1, terminal = -2, orphan = -3;
  enum class Tree : uint8_t { free, source, sink };

  struct Node {
    int64_t residual = 0;  // from the source if positive, to the sink if negative
    int parent = none;     // the arc to it
    int time = 0;          // when `distance` was right
    int distance = 0;
    Tree tree = Tree::free;
    bool active = false;
  };
  struct Arc {
    int head = 0, sister = 0;
    int64_t residual = 0;
  };
  struct Given {
    int from, to;
    int64_t capacity, reverse;
  };

  void lay_out();
  void activate(int node);
  int grow(int node);
  void augment(int middle);
  void adopt(int node);
  bool leads_to_root(int node, int& distance);
  int64_t toward_tree(Tree tree, int arc) const {
    return tree == Tree::source ? arcs_[arc].residual : arcs_[arcs_[arc].sister].residual;
  }
  void make_orphan(int node);

  std::vector<Node> nodes_;
  std::vector<Given> given_;
  std::vector<Arc> arcs_;
  std::vector<int> place_;  // of each given arc in arcs_
  std::vector<int> first_;  // arcs of node n: [first_[n], first_[n + 1])
  std::vector<int> active_, orphans_;
  size_t next_active_ = 0;
  int64_t flow_ = 0;
  int time_ = 0;
};

}  // namespace placewright
