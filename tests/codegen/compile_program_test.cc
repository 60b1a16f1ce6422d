// Graphs to programs and images: what is compiled does not depend on how many threads compile it.
#include "placewright/codegen/compile_program.h"

#include <set>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"

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
  for (Op& op : b.function().ops) op.results[0].tensor().where = Where{{{"cpu", 0}}, {}, {}};
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

}  // namespace
}  // namespace placewright
