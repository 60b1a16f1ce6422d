// Memory planning: what shares storage, what is updated in place, and that the checker sees every damaged plan.
#include "placewright/ir/plan_memory.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"

namespace placewright {
namespace {

const Where host{{{"cpu", 0}}, {}, {}};

struct Case {
  Graph graph;
  FunctionBuilder builder{graph, add_function(graph, "main")};

  Type type(Shape shape, DType dtype = DType::f32) { return TensorType{dtype, std::move(shape), {}, host}; }
  Value input(const char* name, InputKind kind, Shape shape = {1000}) {
    return builder.input(name, kind, type(std::move(shape)));
  }
  Value op(std::string_view name, std::vector<Value> operands, Attributes attributes = {}) {
    Value value = builder(name, std::move(operands), std::move(attributes));
    builder.function().ops[value.op].results[0].set_where(host);
    return value;
  }
  MemoryPlan plan(const MemoryOptions& options = {}) {
    MemoryPlan plan = plan_memory(graph, 0, options);
    check_memory_plan(graph, 0, plan, options);
    return plan;
  }
};

TEST(PlanMemory, ElementwiseChainRunsInPlace) {
  Case c;
  Value x = c.input("x", InputKind::argument);
  Value a = c.op("exp", {x}), b = c.op("neg", {a}), d = c.op("abs", {b});
  c.builder.function().results = {c.op("reduce_sum", {d}, {{"dims", Sizes{0}}})};
  MemoryPlan plan = c.plan();
  EXPECT_NE(plan.storage(a), plan.storage(x)) << "arguments are the caller's";
  EXPECT_EQ(plan.storage(b), plan.storage(a));
  EXPECT_EQ(plan.storage(d), plan.storage(a));
  EXPECT_EQ(plan.devices[0].arena_bytes, 4032);
  EXPECT_EQ(plan.storages[plan.storage(c.builder.function().results[0])].kind, StorageKind::result);
}

TEST(PlanMemory, ValueThatIsReadLaterIsNotOverwritten) {
  Case c;
  Value x = c.input("x", InputKind::argument);
  Value a = c.op("exp", {x}), b = c.op("neg", {a}), d = c.op("add", {a, b});
  c.builder.function().results = {c.op("reduce_sum", {d}, {{"dims", Sizes{0}}})};
  MemoryPlan plan = c.plan();
  EXPECT_NE(plan.storage(a), plan.storage(b));
  EXPECT_EQ(plan.storage(d), plan.storage(a));
}

TEST(PlanMemory, ViewsShareTheirOperand) {
  Case c;
  Value x = c.input("x", InputKind::argument, {10, 100});
  Value a = c.op("exp", {x}), view = c.op("reshape", {a}, {{"shape", Shape{1000}}});
  Value moved = c.op("transpose", {a}, {{"permutation", Sizes{1, 0}}});
  Value b = c.op("exp", {view});
  c.builder.function().results = {moved, c.op("reduce_sum", {b}, {{"dims", Sizes{0}}})};
  MemoryPlan plan = c.plan();
  EXPECT_EQ(plan.storage(view), plan.storage(a));
  EXPECT_NE(plan.storage(moved), plan.storage(a)) << "a transpose may not run in place";
}

TEST(PlanMemory, StateIsUpdatedInPlaceWhereNothingReadsTheOldOneLater) {
  for (bool read_late : {false, true}) {
    Case c;
    Value x = c.input("x", InputKind::argument), w = c.input("w", InputKind::state);
    Value made = c.op("add", {w, x});
    if (read_late) c.builder.function().results = {c.op("mul", {w, x})};
    c.builder.function().updates = {{w, made}};
    MemoryPlan plan = c.plan();
    EXPECT_EQ(plan.updated_in_place[0], !read_late);
    EXPECT_EQ(plan.storage(made) == plan.storage(w), !read_late);
  }
}

TEST(PlanMemory, StateWhoseInputStandsBehindItsNewValueIsCopied) {
  Case c;
  Value x = c.input("x", InputKind::argument);
  Value made = c.op("neg", {x});
  Value w = c.input("w", InputKind::state);
  c.builder.function().updates = {{w, made}};
  MemoryPlan plan = c.plan();
  EXPECT_FALSE(plan.updated_in_place[0]);
  EXPECT_NE(plan.storage(made), plan.storage(w));
}

TEST(PlanMemory, StateIsNotUpdatedInPlaceByAnOpThatMixesElements) {
  Case c;
  Value w = c.input("w", InputKind::state, {30, 30});
  Value made = c.op("transpose", {w}, {{"permutation", Sizes{1, 0}}});
  c.builder.function().updates = {{w, made}};
  EXPECT_FALSE(c.plan().updated_in_place[0]);
}

TEST(PlanMemory, StateThatTakesAnothersOldValueIsCopiedFirst) {
  Case c;
  Value x = c.input("x", InputKind::argument), now = c.input("now", InputKind::state);
  Value before = c.input("before", InputKind::state);
  c.builder.function().updates = {{now, c.op("exp", {x})}, {before, now}};
  MemoryPlan plan = c.plan();
  EXPECT_EQ(plan.update_order, (std::vector<int32_t>{1, 0}));
  EXPECT_FALSE(plan.updated_in_place[0]) << "its old value is read at the end";
}

TEST(PlanMemory, SwappedStatesAreRefused) {
  Case c;
  Value a = c.input("a", InputKind::state), b = c.input("b", InputKind::state);
  c.builder.function().updates = {{a, b}, {b, a}};
  EXPECT_THROW(c.plan(), Error);
}

// Random graphs of ops that may and may not run in place, with states and several devices.
// What copies write does not use the memory of what runs meanwhile, where there is enough: both would wait.
TEST(PlanMemory, CopiesKeepOutOfTheWayOfWhatRunsMeanwhile) {
  auto graph_with = [](const std::string& later) {
    return parse_graph(R"(graph v1
function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[100,10]@[sim:0]
  %1 = input() {kind="argument", name="w"} : f32[10]@[cpu:0]
  %2 = exp(%0) : f32[100,10]@[sim:0]
  %3 = reduce_sum(%2) {dims=[0]} : f32[10]@[sim:0]
  %4 = transfer(%3) {at_load=false, why=""} : f32[10]@[cpu:0]
  %5 = transfer(%1) {at_load=false, why=""} : f32[10]@[sim:0]
  %6 = log(%4) : f32[10]@[cpu:0]
  %7 = transfer(%6) {at_load=false, why=""} : f32[10]@[sim:0]
  %8 = sub(%7, %5) : f32[10]@[sim:0]
  %9 = broadcast(%8) {dims=[1], shape=[)" +
                       later + R"(,10]} : f32[)" + later + R"(,10]@[sim:0]
  %10 = reduce_sum(%9) {dims=[0]} : f32[10]@[sim:0]
  return %10
})");
  };
  for (const char* later : {"1", "200"}) {
    const Graph graph = graph_with(later);
    const MemoryPlan plan = plan_memory(graph, 0);
    check_memory_plan(graph, 0, plan);
    auto shares = [&](Value a, Value b) {
      const Storage &one = plan.storages[plan.storage(a)], &other = plan.storages[plan.storage(b)];
      return one.offset < other.offset + other.bytes && other.offset < one.offset + one.bytes;
    };
    const bool has_room = std::string(later) == "200";
    EXPECT_EQ(shares({5, 0}, {2, 0}) || shares({5, 0}, {3, 0}), !has_room) << later;
    EXPECT_EQ(plan.devices[1].arena_bytes, has_room ? 8000 + 64 : 4032 + 64) << "not a byte more";
  }
}

Graph random_graph(uint32_t seed) {
  std::mt19937 random(seed);
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<Value> values;
  auto pick = [&] { return values[random() % values.size()]; };
  auto place = [&](Value value, const Where& where) { builder.function().ops[value.op].results[0].set_where(where); };
  for (int i = 0; i < 4; ++i) {
    TensorType type{DType::f32, {8, 8}, {}, {{{"sim", static_cast<int>(random() % 2)}}, {}, {}}};
    values.push_back(builder.input("i" + std::to_string(i), i % 2 ? InputKind::state : InputKind::argument, type));
  }
  for (int i = 0; i < 30; ++i) {
    Value a = pick(), b = pick();
    const Where where = builder.type(a).tensor().where;
    if (builder.type(b).tensor().where != where) {
      b = builder("transfer", {b});
      place(b, where);
    }
    Value made;
    switch (random() % 4) {
      case 0:
        made = builder("transpose", {a}, {{"permutation", Sizes{1, 0}}});
        break;
      case 1:
        made = builder("exp", {a});
        break;
      case 2:
        made = builder("reshape", {a}, {{"shape", Shape{8, 8}}});
        break;
      default:
        made = builder("add", {a, b});
    }
    place(made, where);
    values.push_back(made);
  }
  builder.function().results = {pick(), pick()};
  for (int state : {1, 3}) {
    Value value = pick();
    const Function& function = graph.main();
    if (function.tensor(value).where == function.tensor(values[state]).where && !function.op(value).is("input"))
      graph.main().updates.push_back({values[state], value});
  }
  return graph;
}

TEST(PlanMemory, RandomGraphsPassTheChecker) {
  int shared = 0, updated = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    Graph graph = random_graph(seed);
    verify_graph(graph);
    MemoryPlan plan = plan_memory(graph, 0);
    ASSERT_NO_THROW(check_memory_plan(graph, 0, plan)) << "seed " << seed << "\n" << print_graph(graph);
    for (const Storage& storage : plan.storages) shared += storage.values.size() > 1;
    for (bool in_place : plan.updated_in_place) updated += in_place;
  }
  EXPECT_GT(shared, 300);
  EXPECT_GT(updated, 20);
}

// Values of many sizes that live for short and long times.
Graph graph_of_sizes(uint32_t seed, int ops) {
  std::mt19937 random(seed);
  Graph graph;
  FunctionBuilder builder(graph, add_function(graph, "main"));
  std::vector<Value> rows{builder.input("x", InputKind::argument, TensorType{DType::f32, {3, 40}, {}, host})};
  auto place = [&](Value value) {
    builder.function().ops[value.op].results[0].set_where(host);
    return value;
  };
  for (int i = 0; i < ops; ++i) {
    const Value a = rows[rows.size() - 1 - random() % std::min<size_t>(rows.size(), random() % 8 ? 6 : 60)];
    const Value b = rows[random() % rows.size()];
    const int64_t height = builder.type(a).tensor().sizes()[0];
    if (height + builder.type(b).tensor().sizes()[0] < 100)
      rows.push_back(place(builder("concat", {a, b}, {{"dim", int64_t{0}}})));
    else
      rows.push_back(place(builder("slice", {a}, {{"starts", Sizes{0, 0}}, {"limits", Sizes{1 + height / 7, 40}}})));
  }
  builder.function().results = {place(builder("reduce_sum", {rows.back()}, {{"dims", Sizes{0, 1}}}))};
  return graph;
}

// The definition, word for word: largest first, each into the smallest gap among those that live at the same time, the
// lowest of equal ones.
std::vector<int64_t> offsets_by_definition(const MemoryPlan& plan, int64_t alignment) {
  std::vector<const Storage*> open, placed;
  for (const Storage& storage : plan.storages)
    if (storage.kind == StorageKind::temporary && storage.bytes > 0) open.push_back(&storage);
  std::stable_sort(open.begin(), open.end(), [](auto* a, auto* b) { return a->bytes > b->bytes; });
  std::vector<int64_t> offsets(plan.storages.size(), 0);
  auto offset_of = [&](const Storage* storage) -> int64_t& { return offsets[storage - plan.storages.data()]; };
  for (const Storage* storage : open) {
    std::vector<const Storage*> beside;
    for (const Storage* other : placed)
      if (other->first <= storage->last && storage->first <= other->last) beside.push_back(other);
    std::sort(beside.begin(), beside.end(), [&](auto* a, auto* b) { return offset_of(a) < offset_of(b); });
    int64_t best = -1, best_gap = 0, end = 0;
    for (const Storage* other : beside) {
      const int64_t gap = offset_of(other) - end;
      if (gap >= storage->bytes && (best < 0 || gap < best_gap)) {
        best = end;
        best_gap = gap;
      }
      end = std::max(end, (offset_of(other) + other->bytes + alignment - 1) / alignment * alignment);
    }
    offset_of(storage) = best >= 0 ? best : end;
    placed.push_back(storage);
  }
  return offsets;
}

TEST(PlanMemory, EachStandsInTheSmallestGap) {
  int shifted = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const MemoryPlan plan = plan_memory(graph_of_sizes(seed, 20 + static_cast<int>(seed) * 4), 0);
    const std::vector<int64_t> expected = offsets_by_definition(plan, MemoryOptions{}.alignment);
    for (size_t i = 0; i < plan.storages.size(); ++i) {
      ASSERT_EQ(plan.storages[i].offset, expected[i]) << "seed " << seed << ", storage " << i;
      shifted += expected[i] > 0;
    }
  }
  EXPECT_GT(shifted, 1000);
}

// Two temporaries that live at once are put on the same bytes: the checker must see each such plan.
TEST(PlanMemory, CheckerSeesOverlaps) {
  int seen = 0;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    Graph graph = random_graph(seed);
    MemoryPlan plan = plan_memory(graph, 0);
    for (size_t i = 0; i < plan.storages.size(); ++i)
      for (size_t j = i + 1; j < plan.storages.size(); ++j) {
        MemoryPlan damaged = plan;
        Storage &a = damaged.storages[i], &b = damaged.storages[j];
        if (a.kind != StorageKind::temporary || b.kind != StorageKind::temporary || a.device != b.device) continue;
        if (a.last < b.first || b.last < a.first || a.offset == b.offset) continue;
        // Written and never read again, or read in the very op that the other begins with: no one can tell.
        if (a.last <= a.values.back().op || b.last <= b.values.back().op) continue;
        b.offset = a.offset;
        EXPECT_THROW(check_memory_plan(graph, 0, damaged), Error) << "seed " << seed << " storages " << i << ", " << j;
        ++seen;
      }
  }
  EXPECT_GT(seen, 100);
}

TEST(PlanMemory, KernelsRunInPlaceOnlyWhereEachPointReadsItsOwnElement) {
  auto kernel = [](std::string_view name, std::vector<Type> operands, Attributes attributes) {
    const OpEntry& entry = find_op(name);
    attributes = complete_attributes(entry, std::move(attributes));
    std::vector<Type> results = infer_types({entry, operands, {}, attributes});
    return lower_op({entry, operands, results, attributes});
  };
  Type square(DType::f32, {4, 4});
  EXPECT_TRUE(may_run_in_place(kernel("add", {square, square}, {}), 0, 2));
  EXPECT_TRUE(may_run_in_place(kernel("add", {square, square}, {}), 1, 2));
  EXPECT_FALSE(may_run_in_place(kernel("transpose", {square}, {{"permutation", Sizes{1, 0}}}), 0, 1));
  EXPECT_FALSE(may_run_in_place(kernel("reverse", {square}, {{"dims", Sizes{0}}}), 0, 1));
  EXPECT_FALSE(may_run_in_place(
      kernel("dot_general", {square, square}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}}), 0, 2));
}

}  // namespace
}  // namespace placewright
