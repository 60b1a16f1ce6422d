// Building blocks of stages: nodes and accesses that are added once, index maps that compose.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "placewright/ir/kernel.h"

namespace placewright {

// `inner` over another domain: its dimension d is `dims[d]` of the outer one. Nothing if a division cannot be composed.
std::optional<AffineExpr> compose(const AffineExpr& inner, const std::vector<AffineExpr>& dims);

// An access over another domain, of `rank` dimensions.
std::optional<Access> compose(Access inner, const std::vector<AffineExpr>& dims, int rank);

// Whether an access can never leave its buffer, whatever its guard says.
bool stays_inside(const Access& access, const Sizes& buffer_sizes, const Sizes& extents);

// Adds nodes to one body of a stage. What is there already is not added again.
class StageWriter {
 public:
  StageWriter(Stage& stage, ScalarBody& body) : stage_(stage), body_(body) {}

  int add(const ScalarNode& node);
  int add_access(const Access& access);
  // A load; `access` speaks of the stage's dimensions, its indirect parts of nodes of the same body.
  int load(DType dtype, const Access& access);
  // i64: the value of an index expression.
  int index(const AffineExpr& expr);

  // Copies nodes of a stage's body over dimensions that are `dims` here (null: the same). `load` gives the node of a
  // load; the indirect parts of the access that it gets speak of nodes of this body. The nodes here, by node there.
  using Load = std::function<int(const ScalarNode& node, const Access& access)>;
  std::vector<int> copy(const Stage& from, std::span<const ScalarNode> body, const std::vector<AffineExpr>* dims,
                        const Load& load);

  Stage& stage() { return stage_; }
  ScalarBody& body() { return body_; }

 private:
  Stage& stage_;
  ScalarBody& body_;
};

}  // namespace placewright
