// Which kernels match_contraction takes for products of matrices, and that its words mean what the kernel computes.
#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "begun_product.h"
#include "derived_cases.h"
#include "placewright/codegen/cuda/cuda_code.h"
#include "placewright/codegen/lower.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/interpret_kernel.h"
#include "placewright/ir/op_table.h"

namespace placewright::testing {
namespace {

using Values = std::vector<Value>;
using Build = std::function<Value(FunctionBuilder& b, const Values& inputs)>;
using BuildAll = std::function<Values(FunctionBuilder& b, const Values& inputs)>;

StructuredKernel kernel_of_all(const std::vector<Type>& inputs, const BuildAll& build) {
  Graph graph;
  add_function(graph, "main");
  FunctionBuilder b(graph, 0);
  std::vector<Value> values;
  for (const Type& type : inputs)
    values.push_back(b.input("x" + std::to_string(values.size()), InputKind::argument, type));
  b.function().results = build(b, values);
  return collapse_dimensions(lower_function(graph, 0));
}

StructuredKernel kernel_of(const std::vector<Type>& inputs, const Build& build) {
  return kernel_of_all(inputs, [&](FunctionBuilder& b, const Values& values) { return Values{build(b, values)}; });
}

Type f32(Shape shape) { return {DType::f32, std::move(shape)}; }

// What the words say, on buffers as a launch has them.
HostTensor product(const Contraction& c, const std::vector<HostTensor>& buffers) {
  auto at = [&](const Contraction::Matrix& matrix, int64_t batch, int64_t row, int64_t column) {
    return matrix.offset + batch * matrix.batch + row * matrix.row + column * matrix.column;
  };
  HostTensor result = buffers[static_cast<size_t>(c.result.buffer)].clone();
  for (int64_t b = 0; b < c.batch; ++b)
    for (int64_t row = 0; row < c.rows; ++row)
      for (int64_t column = 0; column < c.columns; ++column) {
        double sum = 0;
        for (int64_t d = 0; d < c.depth; ++d)
          sum += buffers[static_cast<size_t>(c.left.buffer)].number(at(c.left, b, row, d)) *
                 buffers[static_cast<size_t>(c.right.buffer)].number(at(c.right, b, d, column));
        sum *= c.scale;
        if (c.bias >= 0) sum += buffers[static_cast<size_t>(c.bias)].number(column);
        if (c.activation == Contraction::Activation::relu) sum = std::max(sum, 0.0);
        if (c.activation == Contraction::Activation::gelu)
          sum = 0.5 * sum * (1 + std::tanh(0.7978845608028654 * (sum + 0.044715 * sum * sum * sum)));
        result.set_number(at(c.result, b, row, column), sum);
      }
  return result;
}

// Small whole numbers, on which sums are exact in any order, in all that is not the kernel's own.
std::vector<HostTensor> whole_numbers(const StructuredKernel& kernel) {
  std::vector<HostTensor> buffers;
  for (const KernelBuffer& buffer : kernel.buffers) {
    if (buffer.role == KernelBuffer::Role::local || buffer.alias_of >= 0) continue;
    buffers.push_back(random_tensor(buffer.dtype, buffer.sizes, buffers.size() + 1, -4, 4));
    for (int64_t i = 0; i < buffers.back().elements(); ++i)
      buffers.back().set_number(i, std::floor(buffers.back().number(i)));
  }
  return buffers;
}

void expect_equal(const StructuredKernel& kernel, const Contraction& contraction, const std::string& name) {
  std::vector<HostTensor> buffers = whole_numbers(kernel);
  const HostTensor expected = product(contraction, buffers);
  ASSERT_EQ(interpret_kernel(kernel, buffers), Status::ok) << name;
  const double tolerance = contraction.activation == Contraction::Activation::gelu ? 1e-5 : 0;
  EXPECT_EQ(mismatch(buffers[static_cast<size_t>(contraction.result.buffer)], expected, tolerance), "")
      << name << ": " << describe(contraction) << "\n"
      << print_kernel(kernel);
}

// Empty: it is none.
std::string matched(const std::vector<Type>& inputs, const Build& build) {
  const StructuredKernel kernel = kernel_of(inputs, build);
  const std::optional<Contraction> found = match_contraction(kernel);
  if (!found) return "";
  expect_equal(kernel, *found, describe(*found));
  return describe(*found);
}

Attributes contracting(int64_t left, int64_t right) {
  return {{"lhs_contracting", Sizes{left}}, {"rhs_contracting", Sizes{right}}};
}
Attributes batched(Sizes left_batch, Sizes right_batch, int64_t left, int64_t right) {
  Attributes attributes = contracting(left, right);
  attributes.set("lhs_batch", std::move(left_batch));
  attributes.set("rhs_batch", std::move(right_batch));
  return attributes;
}
Value dot(FunctionBuilder& b, Value left, Value right, Attributes attributes = contracting(1, 0)) {
  return b("dot_general", {left, right}, std::move(attributes));
}
Value spread(FunctionBuilder& b, Value x, Shape shape, Sizes dims) {
  return b("broadcast", {x}, {{"shape", std::move(shape)}, {"dims", std::move(dims)}});
}
Value permuted(FunctionBuilder& b, Value x, Sizes permutation) {
  return b("transpose", {x}, {{"permutation", std::move(permutation)}});
}

TEST(MatchContraction, PlainProductsInEveryOrientation) {
  auto plain = [](Attributes attributes) {
    return [attributes](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, x[0], x[1], attributes); };
  };
  EXPECT_EQ(matched({f32({3, 4}), f32({4, 5})}, plain(contracting(1, 0))), "3 x 5 x 4 f32");
  EXPECT_EQ(matched({f32({4, 3}), f32({4, 5})}, plain(contracting(0, 0))), "3 x 5 x 4 f32, left transposed");
  EXPECT_EQ(matched({f32({3, 4}), f32({5, 4})}, plain(contracting(1, 1))), "3 x 5 x 4 f32, right transposed");
  EXPECT_EQ(matched({f32({4, 3}), f32({5, 4})}, plain(contracting(0, 1))),
            "3 x 5 x 4 f32, left transposed, right transposed");
  EXPECT_EQ(matched({{DType::f64, {3, 4}}, {DType::f64, {4, 5}}}, plain(contracting(1, 0))), "3 x 5 x 4 f64");
  EXPECT_EQ(matched({f32({2, 3, 4}), f32({2, 4, 5})}, plain(batched({0}, {0}, 2, 1))), "2 x 3 x 5 x 4 f32");
  // Rows of two dimensions that follow each other are rows of one.
  EXPECT_EQ(matched({f32({2, 3, 4}), f32({4, 5})}, plain(contracting(2, 0))), "6 x 5 x 4 f32");
  EXPECT_EQ(matched({f32({3, 4}), f32({4})}, plain(contracting(1, 0))), "1 x 3 x 4 f32, right transposed");
  EXPECT_EQ(matched({f32({4}), f32({4, 3})}, plain(contracting(0, 0))), "1 x 3 x 4 f32");
  EXPECT_EQ(matched({f32({2, 1, 4}), f32({2, 4, 5})}, plain(batched({0}, {0}, 2, 1))), "2 x 1 x 5 x 4 f32");
  Attributes rounded = contracting(1, 0);
  rounded.set("precision", std::string("tf32"));
  EXPECT_EQ(matched({f32({3, 4}), f32({4, 5})}, plain(rounded)), "3 x 5 x 4 f32 (tf32)");
}

TEST(MatchContraction, WhatMovesThroughTransposesAndSlices) {
  // Heads stand between positions and features: one product a head, with the rows of all heads between its own.
  EXPECT_EQ(matched({f32({6, 2, 4}), f32({6, 2, 4})},
                    [](FunctionBuilder& b, const std::vector<Value>& x) {
                      return dot(b, permuted(b, x[0], {1, 0, 2}), permuted(b, x[1], {1, 0, 2}),
                                 batched({0}, {0}, 2, 2));
                    }),
            "2 x 6 x 6 x 4 f32, right transposed");
  // Part of the columns of a larger matrix: it begins inside, and its rows are further apart.
  EXPECT_EQ(matched({f32({3, 12}), f32({4, 5})},
                    [](FunctionBuilder& b, const std::vector<Value>& x) {
                      Value part = b("slice", {x[0]}, {{"starts", Sizes{0, 4}}, {"limits", Sizes{3, 8}}});
                      return dot(b, part, x[1]);
                    }),
            "3 x 5 x 4 f32");
  // One matrix for the whole batch; its rows are not those of one large matrix.
  EXPECT_EQ(matched({f32({3, 2, 4}), f32({4, 5})},
                    [](FunctionBuilder& b, const std::vector<Value>& x) {
                      return dot(b, permuted(b, x[0], {1, 0, 2}), x[1], contracting(2, 0));
                    }),
            "2 x 3 x 5 x 4 f32");
}

Value layer(FunctionBuilder& b, const std::vector<Value>& x) {
  return b("add", {dot(b, x[0], x[1]), spread(b, x[2], {3, 5}, {1})});
}

TEST(MatchContraction, Epilogues) {
  const std::vector<Type> types{f32({3, 4}), f32({4, 5}), f32({5})};
  auto then = [](const char* op, Attributes attributes = {}) {
    return [=](FunctionBuilder& b, const std::vector<Value>& x) { return b(op, {layer(b, x)}, attributes); };
  };
  EXPECT_EQ(matched(types, layer), "3 x 5 x 4 f32, bias");
  EXPECT_EQ(matched(types, then("relu")), "3 x 5 x 4 f32, bias, relu");
  EXPECT_EQ(matched(types, then("gelu", {{"approximate", std::string("tanh")}})), "3 x 5 x 4 f32, bias, gelu");
  EXPECT_EQ(matched({types[0], types[1]},
                    [](FunctionBuilder& b, const std::vector<Value>& x) { return b("relu", {dot(b, x[0], x[1])}); }),
            "3 x 5 x 4 f32, relu");
  EXPECT_EQ(matched(types,
                    [](FunctionBuilder& b, const std::vector<Value>& x) {
                      Value half = b.full(DType::f32, {3, 5}, 0.5);
                      return b("add", {spread(b, x[2], {3, 5}, {1}), b("mul", {dot(b, x[0], x[1]), half})});
                    }),
            "3 x 5 x 4 f32, times 0.5, bias");
}

// A kernel's only result stored transposed.
std::string matched_transposed(const std::vector<Type>& inputs, const Build& build) {
  StructuredKernel kernel = kernel_of(inputs, build);
  Access& store = kernel.stages[0].accesses[static_cast<size_t>(kernel.stages[0].epilogue_stores[0].access)];
  Sizes& sizes = kernel.buffers[static_cast<size_t>(store.buffer)].sizes;
  std::swap(store.index[0], store.index[1]);
  std::swap(sizes[0], sizes[1]);
  verify_kernel(kernel);
  const std::optional<Contraction> found = match_contraction(kernel);
  if (!found) return "";
  expect_equal(kernel, *found, describe(*found));
  return describe(*found);
}

// It is the product of the transposed factors: a bias of each row is then one of each column, and the other is none.
TEST(MatchContraction, ATransposedResultTurnsTheFactors) {
  auto layer_by = [](int64_t dim) {
    return [dim](FunctionBuilder& b, const std::vector<Value>& x) {
      return b("add", {dot(b, x[0], x[1]), spread(b, x[2], {3, 5}, {dim})});
    };
  };
  EXPECT_EQ(matched_transposed({f32({3, 4}), f32({4, 5})},
                               [](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, x[0], x[1]); }),
            "5 x 3 x 4 f32, left transposed, right transposed");
  EXPECT_EQ(matched_transposed({f32({3, 4}), f32({4, 5}), f32({3})}, layer_by(0)),
            "5 x 3 x 4 f32, left transposed, right transposed, bias");
  EXPECT_EQ(matched_transposed({f32({3, 4}), f32({4, 5}), f32({5})}, layer_by(1)), "");
}

TEST(MatchContraction, WhatIsMoreOrLessThanOneProductIsNone) {
  const std::vector<Type> types{f32({3, 4}), f32({4, 5}), f32({5}), f32({3, 5}), f32({3})};
  auto none = [&](const Build& build) { EXPECT_EQ(matched(types, build), ""); };
  auto activated = [&](const char* op, Attributes attributes = {}) {
    none([=](FunctionBuilder& b, const std::vector<Value>& x) { return b(op, {layer(b, x)}, attributes); });
  };
  activated("leaky_relu");
  activated("gelu");  // by erf
  activated("tanh");
  // A sum with a whole matrix; a bias of each row; a bias behind the activation.
  none([](FunctionBuilder& b, const std::vector<Value>& x) { return b("add", {dot(b, x[0], x[1]), x[3]}); });
  none([](FunctionBuilder& b, const std::vector<Value>& x) {
    return b("add", {dot(b, x[0], x[1]), spread(b, x[4], {3, 5}, {0})});
  });
  none([](FunctionBuilder& b, const std::vector<Value>& x) {
    return b("add", {b("relu", {dot(b, x[0], x[1])}), spread(b, x[2], {3, 5}, {1})});
  });
  // Factors that are computed; sums that are kept wider.
  none([](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, b("exp", {x[0]}), x[1]); });
  Attributes wide = contracting(1, 0);
  wide.set("accumulate", DType::f64);
  none([&](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, x[0], x[1], wide); });
  // Nothing to sum; one number; nothing at all.
  none([](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, x[4], x[2], {}); });
  none([](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, x[2], x[2], contracting(0, 0)); });
  EXPECT_EQ(matched({f32({3, 0}), f32({0, 5})},
                    [](FunctionBuilder& b, const std::vector<Value>& x) { return dot(b, x[0], x[1]); }),
            "");
  // Batches in two dimensions whose products are not evenly apart.
  EXPECT_EQ(matched({f32({2, 6, 3, 4}), f32({2, 6, 3, 4})},
                    [](FunctionBuilder& b, const std::vector<Value>& x) {
                      return dot(b, permuted(b, x[0], {0, 2, 1, 3}), permuted(b, x[1], {0, 2, 1, 3}),
                                 batched({0, 1}, {0, 1}, 3, 3));
                    }),
            "");
}

// Windows read elements several times: as matrices they would have rows that overlap.
TEST(MatchContraction, OfTheOpTableNothingThatIsNone) {
  int found = 0;
  for (const OpEntry& entry : op_table()) {
    if (!can_lower(entry)) continue;
    for (const DerivedCase& each : derived_cases(entry)) {
      StructuredKernel kernel = collapse_dimensions(lower_op(each.view()));
      const std::optional<Contraction> contraction = match_contraction(kernel);
      if (!contraction) continue;
      ++found;
      expect_equal(kernel, *contraction, each.name);
    }
  }
  EXPECT_GE(found, 10);
}

// --- products that kernels begin with

// As kernels have it, what the rest loads is an operand.
StructuredKernel with_sums_in_front(StructuredKernel kernel, int sums) {
  std::rotate(kernel.buffers.begin(), kernel.buffers.begin() + sums, kernel.buffers.begin() + sums + 1);
  auto place = [&](int buffer) { return buffer == sums ? 0 : buffer < sums ? buffer + 1 : buffer; };
  for (KernelBuffer& buffer : kernel.buffers)
    if (buffer.alias_of >= 0) buffer.alias_of = place(buffer.alias_of);
  for (Stage& stage : kernel.stages)
    for (Access& access : stage.accesses) access.buffer = place(access.buffer);
  return kernel;
}

// The kernel's first product, and that this and the rest make what the kernel makes, with the same status.
std::string parted(const StructuredKernel& kernel, double tolerance = 0) {
  verify_kernel(kernel);
  EXPECT_FALSE(match_contraction(kernel)) << print_kernel(kernel);
  const StructuredKernel deep = split_depth(kernel);
  const std::optional<PartedContraction> parts = part_contraction(kernel, deep);
  if (!parts) return "";
  std::vector<HostTensor> expected = whole_numbers(kernel), buffers = whole_numbers(kernel);
  const Status status = interpret_kernel(deep, expected);  // whose sums are taken in the order that the rest's are
  // W stands behind the workspaces, which an interpreter is not given.
  Contraction contraction = parts->contraction;
  EXPECT_EQ(contraction.result.buffer, std::count_if(deep.buffers.begin(), deep.buffers.end(),
                                                     [](const KernelBuffer& b) { return b.alias_of < 0; }));
  const auto sums = std::find_if(parts->rest.buffers.begin(), parts->rest.buffers.end(),
                                 [](const KernelBuffer& b) { return b.name == "sums"; });
  verify_kernel(with_sums_in_front(parts->rest, static_cast<int>(sums - parts->rest.buffers.begin())));
  contraction.result.buffer = static_cast<int>(buffers.size());
  buffers.emplace_back(sums->dtype, sums->sizes);
  buffers.back() = product(contraction, buffers);
  EXPECT_EQ(interpret_kernel(parts->rest, buffers), status);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(mismatch(buffers[i], expected[i], tolerance), "") << i << "\n" << print_kernel(parts->rest);
  return describe(parts->contraction);
}

std::string parted(const std::vector<Type>& inputs, const BuildAll& build, double tolerance = 0) {
  return parted(kernel_of_all(inputs, build), tolerance);
}

Values update(FunctionBuilder& b, const Values& x) {
  return {b("sub", {x[2], b("mul", {dot(b, x[0], x[1], contracting(0, 0)), b.full(DType::f32, {128, 128}, 0.5)})})};
}
const std::vector<Type> square{f32({128, 128}), f32({128, 128}), f32({128, 128})};

TEST(PartContraction, AnUpdateOfTheWeights) {
  EXPECT_EQ(parted(square, update), "128 x 128 x 128 f32, left transposed");
}

TEST(PartContraction, AMaskThatIsKept) {
  EXPECT_EQ(parted({f32({96, 160}), f32({160, 144}), f32({144})},
                   [](FunctionBuilder& b, const Values& x) {
                     Value y = b("add", {dot(b, x[0], x[1]), spread(b, x[2], {96, 144}, {1})});
                     return Values{b("relu", {y}), b("greater", {y, b.full(DType::f32, {96, 144}, 0)})};
                   }),
            "96 x 144 x 160 f32");
}

TEST(PartContraction, ASumOverRowsAndALossBehindIt) {
  EXPECT_EQ(parted(square,
                   [](FunctionBuilder& b, const Values& x) {
                     Value y = b("add", {dot(b, x[0], x[1]), x[2]});
                     return Values{y, b("reduce_sum", {y}, {{"dims", Sizes{1}}})};
                   }),
            "128 x 128 x 128 f32");
  EXPECT_EQ(parted(square,
                   [](FunctionBuilder& b, const Values& x) {
                     Value error = b("sub", {dot(b, x[0], x[1]), x[2]});
                     return Values{b("reduce_sum", {b("mul", {error, error})}, {{"dims", Sizes{0, 1}}})};
                   }),
            "128 x 128 x 128 f32");
}

// The pieces and the stage that adds them up are the kernel's own.
TEST(PartContraction, WhereTheDepthIsInPieces) {
  const std::vector<Type> types{f32({4096, 32}), f32({4096, 32}), f32({32, 32})};
  const BuildAll build = [](FunctionBuilder& b, const Values& x) {
    return Values{b("sub", {x[2], dot(b, x[0], x[1], contracting(0, 0))})};
  };
  const StructuredKernel kernel = kernel_of_all(types, build), deep = split_depth(kernel);
  ASSERT_EQ(deep.stages.size(), 2u);
  EXPECT_EQ(part_contraction(kernel, deep)->rest.stages.size(), 1u);
  EXPECT_EQ(parted(types, build), "32 x 32 x 4096 f32, left transposed");
}

TEST(PartContraction, OfBatchesAndWithRoundedFactors) {
  Attributes rounded = batched({0}, {0}, 2, 1);
  rounded.set("precision", std::string("tf32"));
  EXPECT_EQ(parted({f32({4, 64, 128}), f32({4, 128, 64}), f32({4, 64, 64})},
                   [&](FunctionBuilder& b, const Values& x) {
                     return Values{b("mul", {dot(b, x[0], x[1], rounded), x[2]})};
                   }),
            "4 x 64 x 64 x 128 f32 (tf32)");
}

TEST(PartContraction, EpiloguesKeepTheirStatusIndicesAndSums) {
  const StructuredKernel kernel = parse_kernel(looked_up);
  std::vector<HostTensor> buffers = whole_numbers(kernel);
  EXPECT_EQ(interpret_kernel(kernel, buffers), Status::index_out_of_range);
  EXPECT_EQ(parted(kernel), "128 x 128 x 128 f32");
  std::string adding(looked_up);
  adding.insert(adding.find("a4 n6"), "add ");
  EXPECT_EQ(parted(parse_kernel(adding)), "128 x 128 x 128 f32");
}

// What another stage has done by then is not done yet where the library runs.
TEST(PartContraction, OnlyWhatTheFirstStageSums) {
  std::string text(looked_up);
  text.insert(
      text.find("  stage \"dot\""),
      "  stage \"before\" [128] reduced [] {\n    access b4[d0, 0]\n    body {\n      n0 = constant f32 1\n    }\n"
      "    store a0 n0\n  }\n");
  EXPECT_EQ(parted(parse_kernel(text)), "");
}

TEST(PartContraction, WhatIsSmallOrComputedStaysWhole) {
  auto none = [](const std::vector<Type>& types, const BuildAll& build) { EXPECT_EQ(parted(types, build), ""); };
  none({f32({128, 127}), f32({127, 128}), f32({128, 128})}, [](FunctionBuilder& b, const Values& x) {
    return Values{b("sub", {x[2], dot(b, x[0], x[1])})};  // fewer than 2^21 multiply-adds
  });
  none(square,
       [](FunctionBuilder& b, const Values& x) { return Values{b("sub", {x[2], dot(b, b("exp", {x[0]}), x[1])})}; });
  Attributes wide = contracting(1, 0);
  wide.set("accumulate", DType::f64);
  none(square, [&](FunctionBuilder& b, const Values& x) { return Values{b("sub", {x[2], dot(b, x[0], x[1], wide)})}; });
  none(square, [](FunctionBuilder& b, const Values& x) {
    return Values{b("exp", {b("reduce_sum", {x[0]}, {{"dims", Sizes{1}}})})};
  });
}

}  // namespace
}  // namespace placewright::testing
