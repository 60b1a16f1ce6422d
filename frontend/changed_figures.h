// A context in which the same devices have other figures: what "what if" questions are planned in.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"
#include "placewright/passes/pass.h"
#include "placewright/run_graph.h"

namespace placewright {

// What was measured of a link holds for its old rate: beside the latency it takes less in proportion as the rate grows.
class ChangedFigures {
 public:
  // What `context` points to must outlive this.
  ChangedFigures(const PassContext& context, const MachineFigures& figures);
  ChangedFigures(const ChangedFigures&) = delete;
  const PassContext& context() const { return context_; }

 private:
  Machine machine_;
  std::optional<Profile> profile_;
  std::vector<std::unique_ptr<TargetModel>> models_;
  PassContext context_;
};

}  // namespace placewright
