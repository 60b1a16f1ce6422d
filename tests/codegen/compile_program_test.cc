// Graphs to programs and images: what is compiled does not depend on how many threads compile it.
#include "placewright/codegen/compile_program.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/check_program.h"

namespace placewright {
namespace {

// Contractions of different sizes, each with tiles and tails of its own.
Graph contractions(int count) {
  Graph graph;
  FunctionBuilder b(graph, add_function(graph, "main"));
  std::vector<Value> results;
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    Value x = b.input("x" + number, InputKind::argument, Type(DType::f32, {45 + i, 100}));
    Value y = b.input("y" + number, InputKind::argument, Type(DType::f32, {72, 100}));
    results.push_back(b("dot_general", {x, y},
                        {{"lhs_contracting", std::vector<int64_t>{1}}, {"rhs_contracting", std::vector<int64_t>{1}}}));
  }
  b.function().results = results;
  for (Op& op : b.function().ops) op.results[0].set_where(Where{{{"cpu", 0}}, {}, {}});
  return graph;
}

TEST(CompileProgram, BytesDoNotDependOnTheThreadsThatCompile) {
  Graph graph = contractions(8);
  CompileProgramOptions options;
  options.target = named_cpu_target("x86-64-v3");
  CompiledProgram alone = compile_program(graph, options);
  ASSERT_GT(alone.images.size(), 1u);
  for (int threads : {2, 3, 16}) {
    options.threads = threads;
    CompiledProgram together = compile_program(graph, options);
    EXPECT_EQ(print_program(together.program), print_program(alone.program));
    EXPECT_TRUE(together.images == alone.images) << threads << " threads";
  }
  // Each launch finds its entry in its image.
  std::set<int> used;
  for (const Instruction& instruction : alone.program.blocks[0].instructions)
    if (const Launch* launch = std::get_if<Launch>(&instruction)) {
      const std::vector<KernelEntry>& entries = alone.images.at(launch->image).entries;
      EXPECT_TRUE(std::any_of(entries.begin(), entries.end(), [&](const KernelEntry& entry) {
        return entry.name == launch->entry;
      })) << launch->entry;
      used.insert(launch->image);
    }
  EXPECT_EQ(used.size(), alone.images.size());
}

TEST(CompileProgram, ALittleCodeIsOneImage) {
  Graph graph = contractions(1);
  CompileProgramOptions options;
  options.target = named_cpu_target("x86-64-v3");
  options.threads = 4;
  EXPECT_EQ(compile_program(graph, options).images.size(), 1u);
}

// Rounds of a copy to the second device, launches there that all read it, a copy back and a launch of the host.
Graph rounds(int count) {
  Graph graph;
  FunctionBuilder b(graph, add_function(graph, "main"));
  std::vector<DeviceId> places;
  auto placed = [&](DeviceId device, Value value) {
    places.resize(static_cast<size_t>(value.op) + 1, device);
    return value;
  };
  const DeviceId host{"cpu", 0}, other{"sim", 0};
  auto copied = [&](DeviceId to, Value value) {
    return placed(to, b("transfer", {value}, {{"at_load", false}, {"why", std::string("read there")}}));
  };
  Value x = placed(host, b.input("x", InputKind::argument, Type(DType::f32, {64, 64})));
  for (int i = 0; i < count; ++i) {
    Value there = copied(other, x), sum = placed(other, b("tanh", {there}));
    for (int reader = 0; reader < 8; ++reader) sum = placed(other, b("add", {sum, there}));
    x = placed(host, b("tanh", {copied(host, sum)}));
  }
  b.function().results = {x};
  for (size_t i = 0; i < places.size(); ++i) b.function().ops[i].results[0].set_where(Where{{places[i]}, {}, {}});
  return graph;
}

TEST(CompileProgram, AStreamWaitsOnceForWhatItNeedsHoweverManyReadIt) {
  CompileProgramOptions options;
  options.target = host_cpu_target();
  options.emit.names_only = true;
  for (int count : {10, 400}) {
    Program program = compile_program(rounds(count), options).program;
    check_program(program);
    const std::vector<Instruction>& step = program.blocks[0].instructions;
    auto waits = std::count_if(step.begin(), step.end(), [](const auto& i) { return std::holds_alternative<Wait>(i); });
    // Host, copies in, device, copies out: each waits for the one before it, whose values it reads, and for the one
    // behind it, which read in the round before what it now writes over.
    EXPECT_GE(waits, 4 * count - 1);
    EXPECT_LE(waits, 8 * count);
  }
}

}  // namespace
}  // namespace placewright
