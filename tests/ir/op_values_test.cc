// Values picked by hand where engines go wrong: NaN and -0 in min and max, conversions out of range, integer overflow,
// reductions over nothing, empty shapes, indices out of range, random streams. Evaluator and kernel must both give
// them.
#include <array>
#include <cmath>
#include <limits>
#include <sstream>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/interpret_kernel.h"

namespace placewright::testing {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t lowest = std::numeric_limits<int64_t>::min(), highest = std::numeric_limits<int64_t>::max();

DerivedCase make_case(std::string_view op, const std::vector<HostTensor>& operands, const Attributes& attributes) {
  DerivedCase each;
  each.entry = &find_op(op);
  for (const HostTensor& operand : operands)
    each.operands.emplace_back(operand.dtype(), Shape(operand.sizes().begin(), operand.sizes().end()));
  each.attributes = complete_attributes(*each.entry, attributes);
  each.results = infer_types({*each.entry, each.operands, {}, each.attributes});
  return each;
}

struct KernelResult {
  HostTensor value;
  Status status;
};

KernelResult run_kernel(const DerivedCase& each, const std::vector<HostTensor>& operands) {
  std::vector<HostTensor> buffers = operands;
  buffers.emplace_back(each.results[0].tensor().dtype, each.results[0].tensor().sizes());
  Status status = interpret_kernel(lower_op(each.view()), buffers);
  return {buffers.back(), status};
}

// The op's only result, from its definition; its kernel must give the same bytes, but for the bits of a NaN.
HostTensor compute(std::string_view op, const std::vector<HostTensor>& operands, const Attributes& attributes = {}) {
  DerivedCase each = make_case(op, operands, attributes);
  HostTensor expected = evaluate_case(each, operands)[0];
  KernelResult found = run_kernel(each, operands);
  EXPECT_EQ(found.status, Status::ok);
  EXPECT_EQ(mismatch(found.value, expected, 0), "") << op;
  bool floating = is_floating(expected.dtype());
  for (int64_t i = 0; i < expected.elements(); ++i) {
    if (!floating || expected.number(i) != 0) continue;
    EXPECT_EQ(std::signbit(found.value.number(i)), std::signbit(expected.number(i))) << op << ", element " << i;
  }
  return expected;
}

HostTensor numbers(DType dtype, const std::vector<double>& values) {
  HostTensor tensor(dtype, {static_cast<int64_t>(values.size())});
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, values[static_cast<size_t>(i)]);
  return tensor;
}

HostTensor integers(DType dtype, const std::vector<int64_t>& values) {
  HostTensor tensor(dtype, {static_cast<int64_t>(values.size())});
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_integer(i, values[static_cast<size_t>(i)]);
  return tensor;
}

std::vector<int64_t> integers(const HostTensor& tensor) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < tensor.elements(); ++i) values.push_back(tensor.integer(i));
  return values;
}

// As text, so that -0 and NaN compare and show.
std::vector<std::string> spelled(const std::vector<double>& values) {
  std::vector<std::string> text;
  for (double value : values) text.push_back(std::isnan(value) ? "nan" : (std::ostringstream() << value).str());
  return text;
}
std::vector<std::string> spelled(const HostTensor& tensor) {
  std::vector<double> values;
  for (int64_t i = 0; i < tensor.elements(); ++i) values.push_back(tensor.number(i));
  return spelled(values);
}

class FloatingValues : public ::testing::TestWithParam<DType> {
 protected:
  std::vector<std::string> binary(std::string_view op, const std::vector<double>& a, const std::vector<double>& b) {
    return spelled(compute(op, {numbers(GetParam(), a), numbers(GetParam(), b)}));
  }
  std::vector<std::string> unary(std::string_view op, const std::vector<double>& a) {
    return spelled(compute(op, {numbers(GetParam(), a)}));
  }
};
INSTANTIATE_TEST_SUITE_P(OpValues, FloatingValues, ::testing::Values(DType::f32, DType::f64),
                         [](const auto& each) { return std::string(name(each.param)); });

TEST_P(FloatingValues, MaxAndMinKeepNaNAndOrderZeros) {
  std::vector<double> a{nan, 1, nan, -0., 0., -0., infinity, -infinity}, b{1, nan, nan, 0., -0., -0., nan, 5};
  EXPECT_EQ(binary("max", a, b), spelled({nan, nan, nan, 0., 0., -0., nan, 5}));
  EXPECT_EQ(binary("min", a, b), spelled({nan, nan, nan, -0., -0., -0., nan, -infinity}));
}

TEST_P(FloatingValues, ReluByMaxKeepsNaN) {
  EXPECT_EQ(binary("max", {nan, -1, -0., 2}, {0, 0, 0, 0}), spelled({nan, 0, 0, 2}));
}

TEST_P(FloatingValues, ClampKeepsNaNAndPrefersHigh) {
  HostTensor x = numbers(GetParam(), {nan, -5, 5, 0, 1, -0.}), low = numbers(GetParam(), {0, -1, -1, 3, nan, 0.}),
             high = numbers(GetParam(), {1, 1, 1, 2, 2, 1});
  EXPECT_EQ(spelled(compute("clamp", {x, low, high})), spelled({nan, -1, 1, 2, nan, 0.}));
}

TEST_P(FloatingValues, SignsOfZero) {
  EXPECT_EQ(unary("neg", {0., -0., nan}), spelled({-0., 0., nan}));
  EXPECT_EQ(unary("abs", {-0., -infinity, nan}), spelled({0., infinity, nan}));
  EXPECT_EQ(unary("sign", {-0., 0., nan, -3, infinity}), spelled({-0., 0., nan, -1, 1}));
  EXPECT_EQ(binary("mul", {0., -2}, {-3, 0.}), spelled({-0., -0.}));
  EXPECT_EQ(unary("ceil", {-0.5, 0.5, -1.5}), spelled({-0., 1, -1}));
}

TEST_P(FloatingValues, RoundGoesToEven) {
  EXPECT_EQ(unary("round", {0.5, 1.5, 2.5, -0.5, -1.5, 2.4}), spelled({0., 2, 2, -0., -2, 2}));
}

TEST_P(FloatingValues, OutsideTheDomain) {
  EXPECT_EQ(unary("log", {0, -1, infinity, nan}), spelled({-infinity, nan, infinity, nan}));
  EXPECT_EQ(unary("sqrt", {-0., -1, infinity}), spelled({-0., nan, infinity}));
  EXPECT_EQ(unary("asin", {2, -1.5}), spelled({nan, nan}));
  EXPECT_EQ(unary("rsqrt", {0., infinity, -1}), spelled({infinity, 0, nan}));
  EXPECT_EQ(binary("pow", {0, 0, -2, nan, 1, -2}, {0, -1, 0.5, 0, nan, 3}), spelled({1, infinity, nan, 1, 1, -8}));
  EXPECT_EQ(binary("div", {1, -1, 0}, {0., 0., 0.}), spelled({infinity, -infinity, nan}));
  EXPECT_EQ(binary("rem", {5, -5, 5, infinity}, {3, 3, 0., 2}), spelled({2, -2, nan, nan}));
}

TEST_P(FloatingValues, ComparisonsWithNaN) {
  HostTensor a = numbers(GetParam(), {nan, 1, nan, 0.}), b = numbers(GetParam(), {1, nan, nan, -0.});
  EXPECT_EQ(integers(compute("equal", {a, b})), (std::vector<int64_t>{0, 0, 0, 1}));
  EXPECT_EQ(integers(compute("not_equal", {a, b})), (std::vector<int64_t>{1, 1, 1, 0}));
  EXPECT_EQ(integers(compute("less_equal", {a, b})), (std::vector<int64_t>{0, 0, 0, 1}));
  EXPECT_EQ(integers(compute("greater", {a, b})), (std::vector<int64_t>{0, 0, 0, 0}));
  EXPECT_EQ(integers(compute("is_nan", {a})), (std::vector<int64_t>{1, 0, 1, 0}));
  EXPECT_EQ(integers(compute("is_finite", {numbers(GetParam(), {nan, infinity, -infinity, 1e30})})),
            (std::vector<int64_t>{0, 0, 0, 1}));
}

TEST_P(FloatingValues, CastToIntegersTruncatesAndSaturates) {
  HostTensor x = numbers(GetParam(), {1.9, -1.9, nan, infinity, -infinity, 1e30, -1e30, 255.5, 256, -1});
  EXPECT_EQ(integers(compute("cast", {x}, {{"dtype", DType::i32}})),
            (std::vector<int64_t>{1, -1, 0, 2147483647, -2147483648, 2147483647, -2147483648, 255, 256, -1}));
  EXPECT_EQ(integers(compute("cast", {x}, {{"dtype", DType::u8}})),
            (std::vector<int64_t>{1, 0, 0, 255, 0, 255, 0, 255, 255, 0}));
  EXPECT_EQ(integers(compute("cast", {x}, {{"dtype", DType::i64}})),
            (std::vector<int64_t>{1, -1, 0, highest, lowest, highest, lowest, 255, 256, -1}));
  EXPECT_EQ(integers(compute("cast", {numbers(GetParam(), {0., -0., nan, 0.5})}, {{"dtype", DType::boolean}})),
            (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(integers(compute("cast", {numbers(GetParam(), {9223372036854774784., 9223372036854775808.})},
                             {{"dtype", DType::i64}}))[1],
            highest);
}

TEST_P(FloatingValues, ReductionsOverNothingAreNeutral) {
  HostTensor empty(GetParam(), {2, 0});
  Attributes dims{{"dims", Sizes{1}}};
  EXPECT_EQ(spelled(compute("reduce_sum", {empty}, dims)), spelled({0., 0.}));
  EXPECT_EQ(spelled(compute("reduce_prod", {empty}, dims)), spelled({1, 1}));
  EXPECT_EQ(spelled(compute("reduce_max", {empty}, dims)), spelled({-infinity, -infinity}));
  EXPECT_EQ(spelled(compute("reduce_min", {empty}, dims)), spelled({infinity, infinity}));
  EXPECT_EQ(compute("reduce_sum", {HostTensor(GetParam(), {0, 3})}, dims).elements(), 0);
}

TEST_P(FloatingValues, ReductionsKeepNaN) {
  HostTensor x = numbers(GetParam(), {1, nan, 3});
  Attributes dims{{"dims", Sizes{0}}};
  EXPECT_EQ(spelled(compute("reduce_max", {x}, dims)), spelled({nan}));
  EXPECT_EQ(spelled(compute("reduce_min", {x}, dims)), spelled({nan}));
  EXPECT_EQ(spelled(compute("reduce_max", {numbers(GetParam(), {-0., 0.})}, dims)), spelled({0.}));
  EXPECT_EQ(spelled(compute("reduce_min", {numbers(GetParam(), {0., -0.})}, dims)), spelled({-0.}));
}

TEST_P(FloatingValues, ArgmaxTakesTheFirstAndNaN) {
  Attributes dim{{"dim", int64_t{0}}};
  EXPECT_EQ(integers(compute("argmax", {numbers(GetParam(), {1, 3, 3, 2})}, dim))[0], 1);
  EXPECT_EQ(integers(compute("argmin", {numbers(GetParam(), {2, 1, 3, 1})}, dim))[0], 1);
  EXPECT_EQ(integers(compute("argmax", {numbers(GetParam(), {1, nan, infinity, nan})}, dim))[0], 1);
  EXPECT_EQ(integers(compute("argmin", {numbers(GetParam(), {1, -infinity, nan})}, dim))[0], 2);
  EXPECT_EQ(integers(compute("argmax", {numbers(GetParam(), {-infinity, -infinity})}, dim))[0], 0);
  EXPECT_EQ(integers(compute("argmax", {numbers(GetParam(), {-0., 0.})}, dim))[0], 0);
}

TEST(OpValues, IntegerArithmeticWraps) {
  EXPECT_EQ(integers(compute("add", {integers(DType::i32, {2147483647}), integers(DType::i32, {1})})),
            (std::vector<int64_t>{-2147483648}));
  EXPECT_EQ(integers(compute("mul", {integers(DType::i32, {65536}), integers(DType::i32, {65537})})),
            (std::vector<int64_t>{65536}));
  EXPECT_EQ(integers(compute("sub", {integers(DType::u8, {3}), integers(DType::u8, {5})})),
            (std::vector<int64_t>{254}));
  EXPECT_EQ(integers(compute("add", {integers(DType::i64, {highest}), integers(DType::i64, {1})})),
            (std::vector<int64_t>{lowest}));
  EXPECT_EQ(integers(compute("abs", {integers(DType::i64, {lowest, -3})})), (std::vector<int64_t>{lowest, 3}));
  EXPECT_EQ(integers(compute("neg", {integers(DType::u8, {1, 0})})), (std::vector<int64_t>{255, 0}));
  EXPECT_EQ(integers(compute("reduce_sum", {integers(DType::i32, {2147483647, 2})}, {{"dims", Sizes{0}}})),
            (std::vector<int64_t>{-2147483647}));
}

TEST(OpValues, IntegerDivisionNeverTraps) {
  for (DType dtype : {DType::i32, DType::i64}) {
    int64_t smallest = dtype == DType::i32 ? -2147483648 : lowest;
    HostTensor a = integers(dtype, {7, -7, 7, smallest, smallest, 0}), b = integers(dtype, {2, 2, 0, -1, 0, 5});
    EXPECT_EQ(integers(compute("div", {a, b})), (std::vector<int64_t>{3, -3, 0, smallest, 0, 0}));
    EXPECT_EQ(integers(compute("rem", {a, b})), (std::vector<int64_t>{1, -1, 0, 0, 0, 0}));
  }
  EXPECT_EQ(integers(compute("div", {integers(DType::u8, {200, 9}), integers(DType::u8, {255, 0})})),
            (std::vector<int64_t>{0, 0}));
}

TEST(OpValues, IntegersBeyond53BitsStayExact) {
  HostTensor a = integers(DType::i64, {highest, (int64_t{1} << 53) + 1}), b = integers(DType::i64, {highest - 1, 1});
  EXPECT_EQ(integers(compute("max", {a, b})), (std::vector<int64_t>{highest, (int64_t{1} << 53) + 1}));
  EXPECT_EQ(integers(compute("less", {b, a})), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(integers(compute("cast", {a}, {{"dtype", DType::i32}})), (std::vector<int64_t>{-1, 1}));
  // Rounded once: by way of f64 this would become 2^24.
  int64_t tie = (int64_t{1} << 60) + (int64_t{1} << 36) + 1;
  EXPECT_EQ(compute("cast", {integers(DType::i64, {tie})}, {{"dtype", DType::f32}}).number(0), 0x1.000002p60);
}

TEST(OpValues, ReductionsOfNoIntegers) {
  Attributes dims{{"dims", Sizes{0}}};
  EXPECT_EQ(integers(compute("reduce_max", {HostTensor(DType::i32, {0})}, dims))[0], -2147483648);
  EXPECT_EQ(integers(compute("reduce_min", {HostTensor(DType::i64, {0})}, dims))[0], highest);
  EXPECT_EQ(integers(compute("reduce_max", {HostTensor(DType::u8, {0})}, dims))[0], 0);
  EXPECT_EQ(integers(compute("reduce_any", {HostTensor(DType::boolean, {0})}, dims))[0], 0);
  EXPECT_EQ(integers(compute("reduce_all", {HostTensor(DType::boolean, {0})}, dims))[0], 1);
  EXPECT_THROW(compute("argmax", {HostTensor(DType::f32, {0})}, {{"dim", int64_t{0}}}), Error);
}

TEST(OpValues, IndicesOutOfRange) {
  HostTensor x = numbers(DType::f32, {1, 2, 3});
  for (int64_t index : {int64_t{-1}, int64_t{3}, highest, lowest}) {
    for (std::string_view op : {"gather", "take_along_dim"}) {
      std::vector<HostTensor> operands{x, integers(DType::i64, {1, index})};
      DerivedCase each = make_case(op, operands, {{"dim", int64_t{0}}});
      EXPECT_THROW(evaluate_case(each, operands), Error);
      KernelResult found = run_kernel(each, operands);
      EXPECT_EQ(found.status, Status::index_out_of_range);
      EXPECT_EQ(found.value.number(0), 2);
    }
    for (std::string_view op : {"scatter_add", "add_along_dim"}) {
      std::vector<HostTensor> operands{x, integers(DType::i64, {1, index}), numbers(DType::f32, {10, 20})};
      DerivedCase each = make_case(op, operands, {{"dim", int64_t{0}}});
      EXPECT_THROW(evaluate_case(each, operands), Error);
      KernelResult found = run_kernel(each, operands);
      EXPECT_EQ(found.status, Status::index_out_of_range);
      EXPECT_EQ(spelled(found.value), spelled({1, 12, 3}));
    }
  }
}

TEST(OpValues, ScatterAddsRepeatedIndices) {
  HostTensor x = numbers(DType::f32, {1, 2}), updates = numbers(DType::f32, {10, 20, 30});
  EXPECT_EQ(spelled(compute("scatter_add", {x, integers(DType::i32, {1, 1, 0}), updates}, {{"dim", int64_t{0}}})),
            spelled({31, 32}));
}

TEST(OpValues, EmptyShapesGiveEmptyResults) {
  HostTensor empty(DType::f32, {0, 3});
  EXPECT_EQ(compute("exp", {empty}).sizes(), (Sizes{0, 3}));
  EXPECT_EQ(compute("transpose", {empty}, {{"permutation", Sizes{1, 0}}}).sizes(), (Sizes{3, 0}));
  EXPECT_EQ(
      compute("gather", {HostTensor(DType::f32, {4}), HostTensor(DType::i64, {0})}, {{"dim", int64_t{0}}}).sizes(),
      (Sizes{0}));
  EXPECT_EQ(
      spelled(compute("pad", {HostTensor(DType::f32, {0})}, {{"low", Sizes{1}}, {"high", Sizes{1}}, {"value", 7.0}})),
      spelled({7, 7}));
}

// --- random numbers

using Block = std::array<uint32_t, 4>;

// Philox 4x32-10 written anew from the paper's description, to check the op against.
Block reference_philox(Block x, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t first = 0xD2511F53ull * x[0], second = 0xCD9E8D57ull * x[2];
    x = {uint32_t(second >> 32) ^ x[1] ^ key[0], uint32_t(second), uint32_t(first >> 32) ^ x[3] ^ key[1],
         uint32_t(first)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return x;
}

TEST(RandomValues, ReferenceHasTheKnownAnswers) {  // of the Random123 distribution
  EXPECT_EQ(reference_philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(reference_philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(reference_philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomValues, BitsAreThePhiloxBlocks) {
  int64_t seed = 0x299f31d0a4093822, counter = 0x500000007;
  HostTensor bits = compute("random_bits", {integers(DType::i64, {seed, counter})},
                            {{"shape", Shape{3, 4}}, {"stream", int64_t{0x13198a2e}}});
  for (uint32_t i = 0; i < 12; ++i)
    EXPECT_EQ(bits.integer(i), reference_philox({i, 5u << 16, 0x13198a2e, 7}, {0xa4093822, 0x299f31d0})[0]) << i;
}

TEST(RandomValues, SeedCounterAndStreamTellDrawsApart) {
  auto draw = [](int64_t seed, int64_t counter, int64_t stream) {
    return integers(
        compute("random_bits", {integers(DType::i64, {seed, counter})}, {{"shape", Shape{8}}, {"stream", stream}}));
  };
  EXPECT_EQ(draw(1, 2, 3), draw(1, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(2, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 3, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 2, 4));
}

TEST(RandomValues, Moments) {
  constexpr int64_t count = 20000;
  std::vector<HostTensor> state{integers(DType::i64, {42, 0})};
  for (DType dtype : {DType::f32, DType::f64}) {
    Attributes attributes{{"shape", Shape{count}}, {"stream", int64_t{0}}, {"dtype", dtype}};
    auto moments = [&](std::string_view op, std::pair<double, double>& range) {
      DerivedCase each = make_case(op, state, attributes);
      HostTensor x = evaluate_case(each, state)[0];
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < count; ++i) {
        double value = x.number(i);
        sum += value, squares += value * value;
        range = {std::min(range.first, value), std::max(range.second, value)};
      }
      return std::pair(sum / count, squares / count);
    };
    std::pair<double, double> range{1, 0};
    auto [mean, square] = moments("uniform", range);
    EXPECT_NEAR(mean, 0.5, 0.01);
    EXPECT_NEAR(square, 1. / 3, 0.01);
    EXPECT_TRUE(range.first >= 0 && range.second < 1);
    std::tie(mean, square) = moments("normal", range);
    EXPECT_NEAR(mean, 0, 0.03);
    EXPECT_NEAR(square, 1, 0.04);
    EXPECT_TRUE(range.first > -7 && range.second < 7);
  }
}

TEST(RandomValues, BernoulliHasItsProbability) {
  std::vector<HostTensor> state{integers(DType::i64, {7, 1})};
  for (double probability : {0.0, 0.1, 0.5, 1.0}) {
    DerivedCase each =
        make_case("bernoulli", state, {{"shape", Shape{20000}}, {"stream", int64_t{5}}, {"probability", probability}});
    HostTensor mask = evaluate_case(each, state)[0];
    double hits = 0;
    for (int64_t i = 0; i < mask.elements(); ++i) hits += mask.number(i);
    EXPECT_NEAR(hits / 20000, probability, probability == 0 || probability == 1 ? 0 : 0.012);
  }
}

// --- errors: what was found and what was expected

std::string message(std::string_view op, const std::vector<Type>& operands, const Attributes& attributes) {
  const OpEntry& entry = find_op(op);
  try {
    infer_types({entry, operands, {}, complete_attributes(entry, attributes)});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(OpErrors, SayWhatWasFoundAndExpected) {
  auto f32 = [](Shape shape) { return Type(DType::f32, std::move(shape)); };
  Type batch(DType::f32, {Dim::symbol("B", 64), 3});
  EXPECT_EQ(message("add", {f32({3}), f32({4})}, {}), "add: operand b has shape [4], expected [3]");
  EXPECT_EQ(message("reshape", {f32({3, 4})}, {{"shape", Shape{5}}}),
            "reshape: cannot reshape [3,4] to [5]: expected as many elements");
  EXPECT_EQ(message("reshape", {batch}, {{"shape", Shape{96, 2}}}),
            "reshape: cannot reshape [B<=64,3] to [96,2]: expected as many elements");
  EXPECT_EQ(message("transpose", {f32({3, 4})}, {{"permutation", Sizes{0, 0}}}),
            "transpose: permutation names dimension 0 twice");
  EXPECT_EQ(
      message("broadcast", {f32({3})}, {{"shape", Shape{2, 4}}, {"dims", Sizes{1}}}),
      "broadcast: dimension 0 of operand [3] has size 3, expected 4, the size of dimension 1 of the result [2,4]");
  EXPECT_EQ(message("slice", {f32({5})}, {{"starts", Sizes{2}}, {"limits", Sizes{6}}}),
            "slice: from 2 to 6 of dimension 0, which has size 5; expected 0 <= start <= limit <= size");
  EXPECT_EQ(message("slice", {batch}, {{"starts", Sizes{0, 0}}, {"limits", Sizes{5, 3}}}),
            "slice: dimension 0 has the symbolic size B<=64, of which only the whole can be taken (0 to -1)");
  EXPECT_EQ(message("pad", {f32({5})}, {{"low", Sizes{-1}}, {"high", Sizes{0}}}),
            "pad: low -1, high 0, interior 0 of dimension 0, expected none negative; `slice` cuts off");
  EXPECT_EQ(message("concat", {f32({2, 3}), f32({2, 4})}, {{"dim", int64_t{0}}}),
            "concat: dimension 1 of operand 1 has size 4, expected 3 as in operand 0");
  EXPECT_EQ(message("reduce_sum", {f32({2, 3})}, {{"dims", Sizes{2}}}),
            "reduce_sum: dims names dimension 2, expected one of the operand's 2 dimensions, from 0");
  EXPECT_EQ(message("argmax", {f32({2, 0})}, {{"dim", int64_t{1}}}),
            "argmax: dimension 1 of [2,0] is empty, expected at least one element to choose from");
  EXPECT_EQ(message("gather", {f32({2}), f32({2})}, {{"dim", int64_t{0}}}),
            "gather: operand indices is f32[2], expected i32 or i64");
  EXPECT_EQ(message("cast", {f32({2})}, {{"dtype", DType::f16}}),
            "cast: dtype is f16, which nothing computes in yet; expected bool, u8, i32, i64, f32 or f64");
  EXPECT_EQ(message("uniform", {Type(DType::i64, {3})}, {{"shape", Shape{2}}, {"stream", int64_t{0}}}),
            "uniform: operand state is i64[3], expected i64[2]: seed and counter");
  EXPECT_EQ(message("bernoulli", {Type(DType::i64, {2})},
                    {{"shape", Shape{2}}, {"stream", int64_t{0}}, {"probability", 1.5}}),
            "bernoulli: probability is 1.5, expected 0 to 1");
}

TEST(OpInference, SymbolsPass) {
  Dim batch = Dim::symbol("B", 64);
  Type x(DType::f32, {batch, 3, 4});
  auto infer = [](std::string_view op, const std::vector<Type>& operands, const Attributes& attributes) {
    const OpEntry& entry = find_op(op);
    return infer_types({entry, operands, {}, complete_attributes(entry, attributes)})[0].to_string();
  };
  EXPECT_EQ(infer("reshape", {x}, {{"shape", Shape{batch, 12}}}), "f32[B<=64,12]");
  EXPECT_EQ(infer("transpose", {x}, {{"permutation", Sizes{2, 0, 1}}}), "f32[4,B<=64,3]");
  EXPECT_EQ(infer("reduce_sum", {x}, {{"dims", Sizes{0, 2}}, {"keep_dims", true}}), "f32[1,3,1]");
  EXPECT_EQ(infer("reduce_max", {x}, {{"dims", Sizes{1}}}), "f32[B<=64,4]");
  EXPECT_EQ(infer("slice", {x}, {{"starts", Sizes{0, 1, 0}}, {"limits", Sizes{-1, 3, 4}}}), "f32[B<=64,2,4]");
  EXPECT_EQ(infer("pad", {x}, {{"low", Sizes{0, 1, 0}}, {"high", Sizes{0, 1, 0}}}), "f32[B<=64,5,4]");
  EXPECT_EQ(infer("argmax", {x}, {{"dim", int64_t{0}}}), "i64[3,4]");
  EXPECT_EQ(infer("gather", {Type(DType::f32, {10, 5}), Type(DType::i64, {batch})}, {{"dim", int64_t{0}}}),
            "f32[B<=64,5]");
  EXPECT_EQ(infer("size_of", {x}, {{"dim", int64_t{0}}}), "i64[]");
}

}  // namespace
}  // namespace placewright::testing
