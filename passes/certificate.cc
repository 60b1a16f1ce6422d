// Proofs for placements: each contraction of all labels but one to a single other label is a problem of two labels that
// no placement undercuts, and its maximum flow is its optimum.
#include <algorithm>

#include "max_flow.h"
#include "placewright/base/error.h"
#include "placewright/passes/placement_problem.h"

namespace placewright {
namespace {

struct Contraction {
  int64_t here = 0, elsewhere = 0;  // of a group: its cost; of a value: one copy out of `around`, and one into it
};

Contraction contract(const std::vector<int64_t>& costs, int around) {
  Contraction made{costs[around], PlacementProblem::unrunnable};
  for (int label = 0; label < static_cast<int>(costs.size()); ++label)
    if (label != around) made.elsewhere = std::min(made.elsewhere, costs[label]);
  return made;
}

Contraction contract(const PlacementProblem& problem, const PlacementProblem::Value& value, int around) {
  Contraction made{PlacementProblem::unrunnable, PlacementProblem::unrunnable};
  for (int label = 0; label < problem.labels; ++label) {
    if (label == around) continue;
    made.here = std::min(made.here, value.moves[around * problem.labels + label]);
    made.elsewhere = std::min(made.elsewhere, value.moves[label * problem.labels + around]);
  }
  return made;
}

// The source's side is `around`: cutting off a group from the source costs what it costs elsewhere.
Certificate flow_around(const PlacementProblem& problem, int around) {
  constexpr int64_t unbounded = int64_t{1} << 60;
  MaxFlow network(problem.groups());
  for (int g = 0; g < problem.groups(); ++g) {
    Contraction group = contract(problem.costs[g], around);
    network.add_terminal(g, group.elsewhere, group.here);
  }
  int arcs = 0;
  std::vector<int> first_arc;
  for (const PlacementProblem::Value& value : problem.values) {
    Contraction copy = contract(problem, value, around);
    first_arc.push_back(arcs);
    if (value.consumers.size() == 1) {
      network.add_arc(value.producer, value.consumers[0], copy.here, copy.elsewhere);
      ++arcs;
      continue;
    }
    int out = network.add_node(), back = network.add_node();
    for (int consumer : value.consumers) {
      network.add_arc(out, consumer, unbounded);
      network.add_arc(consumer, back, unbounded);
    }
    network.add_arc(value.producer, out, copy.here);
    network.add_arc(back, value.producer, copy.elsewhere);
    arcs += static_cast<int>(value.consumers.size()) * 2 + 2;
  }
  Certificate certificate{around, network.solve(), {}};
  for (size_t v = 0; v < problem.values.size(); ++v) {
    size_t readers = problem.values[v].consumers.size();
    std::vector<int64_t>& flows = certificate.flows.emplace_back();
    if (readers == 1) flows.push_back(network.flow(first_arc[v]));
    for (size_t i = 0; readers > 1 && i < readers; ++i)
      flows.push_back(network.flow(first_arc[v] + static_cast<int>(2 * i)) -
                      network.flow(first_arc[v] + static_cast<int>(2 * i) + 1));
  }
  return certificate;
}

}  // namespace

Certificate certify(const PlacementProblem& problem) {
  PW_CHECK(problem.labels >= 2, "a proof for one label");
  Certificate best = flow_around(problem, 0);
  for (int around = 1; problem.labels > 2 && around < problem.labels; ++around) {
    Certificate other = flow_around(problem, around);
    if (other.bound > best.bound) best = std::move(other);
  }
  return best;
}

}  // namespace placewright
