// Building blocks of stages: nodes and accesses that are added once, index maps that compose.
#pragma once

#include <optional>
#include <vector>

#include "placewright/ir/kernel.h"

namespace placewright {

// `inner` over another domain: its dimension d is `dims[d]` of the outer one. Nothing if a division cannot be composed.
std::optional<AffineExpr> compose(const AffineExpr& inner, const std::vector<AffineExpr>& dims);

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

  Stage& stage() { return stage_; }
  ScalarBody& body() { return body_; }

 private:
  Stage& stage_;
  ScalarBody& body_;
};

}  // namespace placewright
