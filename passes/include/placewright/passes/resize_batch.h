// The graph that another batch would have given. Graphs are captured with numbers; which of them are the batch's, and
// which merely equal it, follows from the ops: with the first dimension of one argument made larger, every op's infer
// says what else must grow so that operands fit each other again.
#pragma once

#include <memory>
#include <optional>

#include "placewright/ir/graph.h"

namespace placewright {

class BatchResizer {
 public:
  // `argument`: an input of main; its first dimension is the batch, a number above 0. Error, with the op and its line,
  // if a state or a constant would have to grow, or if an op takes one size of batch only.
  BatchResizer(const Graph& graph, Value argument);
  ~BatchResizer();
  BatchResizer(const BatchResizer&) = delete;

  int64_t batch() const;               // that the graph was made for
  Graph resized(int64_t batch) const;  // above 0; verified

 private:
  class Growth;
  std::unique_ptr<Growth> growth_;
};

// The first argument of main that has a dimension; nothing if there is none.
Value find_batch(const Graph& graph);

// What the batch is where nobody says so: the symbol named batch; else the first dimension of that argument, a number
// or a symbol. Nothing if there is neither.
std::optional<Dim> find_batch_size(const Graph& graph);

}  // namespace placewright
