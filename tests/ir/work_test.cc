// What kernels count as: op classes, dtypes, operations and bytes.
#include "placewright/ir/work.h"

#include <functional>

#include <gtest/gtest.h>

#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"

namespace placewright {
namespace {

Type type(DType dtype, const Sizes& sizes) { return Type(dtype, Shape(sizes.begin(), sizes.end())); }

std::vector<StageWork> work_of(std::string_view op, const std::vector<Type>& operands, const Attributes& attributes) {
  const OpEntry& entry = find_op(op);
  Attributes complete = complete_attributes(entry, attributes);
  std::vector<Type> results = infer_types({entry, operands, {}, complete});
  return count_work(lower_op({entry, operands, results, complete}));
}

StageWork only(const std::vector<StageWork>& stages) {
  EXPECT_EQ(stages.size(), 1u);
  return stages.empty() ? StageWork{} : stages[0];
}

TEST(Work, ProductsCountMultiplicationsAndAdditions) {
  StageWork dot = only(work_of("dot_general", {type(DType::f64, {4, 6}), type(DType::f64, {6, 10})},
                               {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}}));
  EXPECT_EQ(dot.op_class, "contraction");
  EXPECT_EQ(dot.dtype, DType::f64);
  EXPECT_EQ(dot.operations, 2 * 4 * 6 * 10);
  EXPECT_EQ(dot.bytes, 8 * (4 * 6 + 6 * 10 + 4 * 10));

  StageWork conv = only(work_of("conv", {type(DType::f32, {1, 2, 6, 6}), type(DType::f32, {3, 2, 3, 3})}, {}));
  EXPECT_EQ(conv.op_class, "convolution");
  EXPECT_EQ(conv.operations, 2 * 3 * 4 * 4 * 2 * 9);
}

// Of products of f32 alone: what else they are joined with is counted as ever.
TEST(Work, ProductsSayToWhatTheirFactorsMayBeRounded) {
  const std::vector<Type> matrices{type(DType::f32, {4, 6}), type(DType::f32, {6, 10})};
  const std::vector<Type> images{type(DType::f32, {1, 2, 6, 6}), type(DType::f32, {3, 2, 3, 3})};
  const Attributes contracted{{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}};
  StageWork plain = only(work_of("dot_general", matrices, contracted));
  EXPECT_EQ(plain.precision, Precision::f32);
  for (Precision precision : {Precision::tf32, Precision::bf16}) {
    const std::string word(name(precision));
    Attributes rounded = contracted;
    rounded.set("precision", word);
    StageWork dot = only(work_of("dot_general", matrices, rounded));
    EXPECT_EQ(dot.precision, precision);
    dot.precision = Precision::f32;
    EXPECT_EQ(dot, plain);
    EXPECT_EQ(only(work_of("conv", images, {{"precision", word}})).precision, precision);
  }
}

TEST(Work, ArithmeticIsWeighedAndMovementIsBytes) {
  StageWork add = only(work_of("add", {type(DType::f32, {8}), type(DType::f32, {8})}, {}));
  EXPECT_EQ(add, (StageWork{"elementwise", DType::f32, {DType::f32}, 8, 96}));
  StageWork root = only(work_of("exp", {type(DType::f32, {8})}, {}));
  EXPECT_GT(root.operations, 4 * add.operations);
  StageWork sum = only(work_of("reduce_sum", {type(DType::f32, {4, 8})}, {{"dims", Sizes{1}}}));
  EXPECT_EQ(sum, (StageWork{"reduction", DType::f32, {DType::f32}, 32, 4 * (32 + 4)}));
  StageWork turn = only(work_of("transpose", {type(DType::i64, {4, 8})}, {{"permutation", Sizes{1, 0}}}));
  EXPECT_EQ(turn, (StageWork{"movement", DType::i64, {DType::i64}, 512, 512}));
}

// A row of a large table is not the table.
TEST(Work, GatherTouchesTheRowsThatItReads) {
  StageWork gather =
      only(work_of("gather", {type(DType::f32, {50000, 16}), type(DType::i64, {3})}, {{"dim", int64_t{0}}}));
  EXPECT_EQ(gather.op_class, "gather");
  EXPECT_EQ(gather.dtype, DType::f32);
  EXPECT_EQ(gather.operations, gather.bytes);
  EXPECT_LE(gather.bytes, 1000);
  std::vector<StageWork> scatter =
      work_of("scatter_add", {type(DType::f32, {50, 16}), type(DType::i64, {3}), type(DType::f32, {3, 16})},
              {{"dim", int64_t{0}}});
  EXPECT_EQ(scatter.back().op_class, "scatter");
}

// A device runs a cast only if it has both sides' dtypes.
TEST(Work, CastsNeedBothDTypes) {
  StageWork cast = only(work_of("cast", {type(DType::f64, {8})}, {{"dtype", DType::f32}}));
  EXPECT_EQ(cast.dtype, DType::f32);  // what it computes
  EXPECT_EQ(cast.needed, (std::vector<DType>{DType::f32, DType::f64}));
}

// Every op that has a kernel is of some class: no machine file can leave one out by oversight.
TEST(Work, EveryKernelHasAClass) {
  for (const OpEntry& entry : op_table()) {
    if (!entry.realised_as<Lower>()) continue;
    for (const Sample& sample : entry.samples) {
      Attributes attributes = complete_attributes(entry, sample.attributes);
      std::vector<Type> results = infer_types({entry, sample.operands, {}, attributes});
      for (const StageWork& work : count_work(lower_op({entry, sample.operands, results, attributes}))) {
        EXPECT_TRUE(is_op_class(work.op_class)) << entry.name;
        EXPECT_FALSE(work.needed.empty()) << entry.name;
        for (DType dtype : work.needed) EXPECT_TRUE(info(dtype).supported) << entry.name << " " << name(dtype);
        EXPECT_GE(work.operations, 0) << entry.name;
        EXPECT_GE(work.bytes, 0) << entry.name;
      }
    }
  }
}

}  // namespace
}  // namespace placewright
