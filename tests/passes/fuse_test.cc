// Which groups `fuse` makes where only what would wait for itself keeps ops apart: those that joining one op after the
// other makes, each join judged by a search of the whole graph.
#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/passes/pass.h"

namespace placewright {
namespace {

// Takes whatever fits into a launch; a launch takes as long as its ops one by one, so that nothing is gained by joining
// what does not read each other.
class Taker final : public TargetModel {
 public:
  explicit Taker(size_t most) : most_(most) {}
  std::string refuses(const Graph&, const Function&, const Op&) const override { return ""; }
  std::unique_ptr<LaunchModel> launches(const Graph&, const Function&) const override {
    return std::make_unique<Launches>(most_);
  }
  double cost(const Graph&, const Function&, const std::vector<int32_t>& group) const override {
    return static_cast<double>(group.size());
  }

 private:
  class Launches final : public LaunchModel {
   public:
    explicit Launches(size_t most) : most_(most) {}
    bool can_fuse(const std::vector<int32_t>& group, int32_t) override { return group.size() < most_; }
    double cost(const std::vector<int32_t>& group) override { return static_cast<double>(group.size()); }

   private:
    size_t most_;
  };
  size_t most_;
};

// Each op reads one or two earlier values: any, or mostly near ones.
Graph random_graph(uint32_t seed, int ops, bool is_near) {
  std::mt19937 random(seed);
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<Value> values{builder.input("x", InputKind::argument, Type(DType::f32, {4}))};
  for (int i = 0; i < ops; ++i) {
    auto any = [&] {
      const size_t reach = is_near && random() % 8 ? std::min<size_t>(values.size(), 6) : values.size();
      return values[values.size() - 1 - random() % reach];
    };
    builder.origin = graph.origins.intern({{}, "", Role::forward, i + 1, {}});
    const Value first = any();
    values.push_back(random() % 3 ? builder("max", {first, any()}) : builder("neg", {first}));
  }
  for (Op& op : graph.main().ops)
    for (Type& type : op.results) type.set_where(Where{{DeviceId{"cpu", 0}}, {}, {}});
  builder.function().results.assign(values.begin() + 1, values.end());
  return graph;
}

// What is reached from one group by way of others.
bool leads_by_others(const Function& function, const std::vector<int>& group, int from, int to) {
  std::set<int> reached;
  bool grows = true;
  for (int round = 0; grows; ++round) {
    grows = false;
    for (size_t op = 0; op < function.ops.size(); ++op)
      for (Value operand : function.ops[op].operands) {
        const int maker = group[operand.op], reader = group[op];
        if (maker == reader || (maker != from && !reached.contains(maker)) || (maker == from && reader == to)) continue;
        if (reader == to) return true;
        grows = reached.insert(reader).second || grows;
      }
  }
  return false;
}

std::set<std::set<int>> groups_by_search(const Function& function, size_t most) {
  std::vector<int> group;
  for (size_t op = 0; op < function.ops.size(); ++op) group.push_back(static_cast<int>(op));
  auto size = [&](int number) { return static_cast<size_t>(std::count(group.begin(), group.end(), number)); };
  for (size_t op = 0; op < function.ops.size(); ++op)
    for (Value operand : function.ops[op].operands) {
      const int first = group[operand.op], second = group[op];
      if (function.op(operand).is("input") || first == second || size(first) + size(second) > most) continue;
      if (leads_by_others(function, group, first, second) || leads_by_others(function, group, second, first)) continue;
      std::replace(group.begin(), group.end(), second, first);
    }
  std::set<std::set<int>> groups;
  for (int number : group) {
    std::set<int> members;
    for (size_t op = 0; op < group.size(); ++op)
      if (group[op] == number && !function.ops[op].is("input")) members.insert(function.ops[op].origin);
    if (members.size() > 1) groups.insert(members);
  }
  return groups;
}

std::set<std::set<int>> groups_of(const Graph& fused) {
  std::set<std::set<int>> groups;
  for (const Op& op : fused.main().ops) {
    if (!op.is("fused")) continue;
    std::set<int> members;
    for (const Op& inner : fused.functions[op.functions[0]].ops)
      if (!inner.is("input")) members.insert(inner.origin);
    groups.insert(members);
  }
  return groups;
}

TEST(Fuse, JoinsWhatDoesNotWaitForItself) {
  const int ops = 120;
  size_t joined = 0;
  for (uint32_t seed = 0; seed < 24; ++seed) {
    const size_t most = seed % 3 == 0 ? 8 : seed % 3 == 1 ? 40 : 1000;
    const Graph graph = random_graph(seed, ops, seed % 2 == 0);
    const Taker target(most);
    PassContext context;
    context.targets[DeviceId{"cpu", 0}] = &target;
    const Graph fused = fuse(graph, context);
    verify_graph(fused);
    const std::set<std::set<int>> groups = groups_of(fused);
    EXPECT_EQ(groups, groups_by_search(graph.main(), most)) << "seed " << seed;
    joined += groups.size();
  }
  EXPECT_GT(joined, 24u);  // else nothing was compared
}

}  // namespace
}  // namespace placewright
