// Counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2,
// 3; SC 2011). The state is i64[2] = (seed, counter): the seed is the key; element i of draw `counter` of `stream` is
// the block at (i mod 2^32, i / 2^32 + (counter / 2^32) 2^16, stream, counter mod 2^32). So an element depends on
// nothing but state, stream and its logical, row-major number: layout, sharding and recomputation do not change it. The
// step adds 1 to the counter; streams tell the random ops of a graph apart.
#include <array>
#include <cmath>
#include <numbers>

#include "checks.h"
#include "families.h"
#include "kernel_writer.h"
#include "naive_loops.h"

namespace placewright::ops {
namespace {

constexpr uint32_t multiplier_0 = 0xD2511F53, multiplier_1 = 0xCD9E8D57;
constexpr uint32_t weyl_0 = 0x9E3779B9, weyl_1 = 0xBB67AE85;
constexpr int rounds = 10;

// --- infer

std::vector<Type> drawn(const OpView& view, DType dtype) {
  expect(view.operand(0).dtype == DType::i64 && view.operand(0).shape == Shape{2},
         "operand state is {}, expected i64[2]: seed and counter", view.operands[0].to_string());
  int64_t stream = view.attributes.get<int64_t>("stream");
  expect(stream >= 0 && stream <= 0xFFFFFFFF, "stream is {}, expected 0 to 2^32 - 1", stream);
  return {Type(dtype, view.attributes.get<Shape>("shape"))};
}

std::vector<Type> infer_floating(const OpView& view) {
  DType dtype = expect_supported(view.attributes.get<DType>("dtype"), "dtype");
  expect(is_floating(dtype), "dtype is {}, expected f32 or f64", name(dtype));
  return drawn(view, dtype);
}

std::vector<Type> infer_bits(const OpView& view) { return drawn(view, DType::i64); }

std::vector<Type> infer_bernoulli(const OpView& view) {
  double probability = view.attributes.get<double>("probability");
  expect(probability >= 0 && probability <= 1, "probability is {}, expected 0 to 1", probability);
  return drawn(view, DType::boolean);
}

// --- evaluate

using Block = std::array<uint32_t, 4>;

Block philox(Block counter, uint32_t key_0, uint32_t key_1) {
  for (int round = 0; round < rounds; ++round) {
    uint64_t a = uint64_t{multiplier_0} * counter[0], b = uint64_t{multiplier_1} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key_0, static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key_1, static_cast<uint32_t>(a)};
    key_0 += weyl_0;
    key_1 += weyl_1;
  }
  return counter;
}

Block block_of(const HostTensor& state, int64_t stream, int64_t element) {
  auto seed = static_cast<uint64_t>(state.integer(0)), counter = static_cast<uint64_t>(state.integer(1));
  auto number = static_cast<uint64_t>(element);
  Block block{static_cast<uint32_t>(number),
              static_cast<uint32_t>(number >> 32) + static_cast<uint32_t>(counter >> 32 << 16),
              static_cast<uint32_t>(stream), static_cast<uint32_t>(counter)};
  return philox(block, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
}

// The 24 (f32) or 53 (f64) highest bits of words `first` and, for f64, `first + 1`, as a whole number.
double whole_bits(const Block& block, int first, DType dtype) {
  if (dtype == DType::f32) return block[first] >> 8;
  return (block[first] >> 5) * 67108864.0 + (block[first + 1] >> 6);
}
double unit(DType dtype) { return dtype == DType::f32 ? 0x1p-24 : 0x1p-53; }

template <typename Draw>
auto evaluate_draw(Draw draw) {
  return [draw](const OpView& view, std::span<const HostTensor> operands, std::span<HostTensor> results) {
    int64_t stream = view.attributes.get<int64_t>("stream");
    for (int64_t i = 0; i < results[0].elements(); ++i)
      results[0].set_number(i, draw(view, block_of(operands[0], stream, i)));
  };
}

double draw_bits(const OpView&, const Block& block) { return block[0]; }

double draw_uniform(const OpView& view, const Block& block) {
  DType dtype = view.result().dtype;
  return whole_bits(block, 0, dtype) * unit(dtype);
}

// Box and Muller; 1 is added so that the logarithm's argument lies in (0, 1].
double draw_normal(const OpView& view, const Block& block) {
  DType dtype = view.result().dtype;
  double radius = std::sqrt(-2 * std::log((whole_bits(block, 0, dtype) + 1) * unit(dtype)));
  return radius * std::cos(2 * std::numbers::pi * (whole_bits(block, 2, dtype) * unit(dtype)));
}

double threshold(const OpView& view) { return std::ceil(view.attributes.get<double>("probability") * 0x1p24); }
double draw_bernoulli(const OpView& view, const Block& block) { return (block[0] >> 8) < threshold(view); }

// --- lower

// Writes 32-bit words: nodes of one stage over the result's elements.
class PhiloxWriter {
 public:
  PhiloxWriter(StageWriter& stage, int state_buffer, const std::vector<Index>& position, const Sizes& sizes,
               int64_t stream)
      : stage_(stage) {
    int seed = word64(stage.load(state_buffer, {Index(0)})), counter = word64(stage.load(state_buffer, {Index(1)}));
    Sizes strides = row_major_strides(sizes);
    Index element(0);
    for (size_t d = 0; d < sizes.size(); ++d) element = element + position[d] * strides[d];
    int number = word64(stage.position(element));
    int counter_high = upper(counter), number_high = upper(number);
    int high = node(ScalarOp::add, number_high, node(ScalarOp::shift_left, counter_high, constant(16)));
    std::array<int, 4> block{lower(number), high, constant(static_cast<uint32_t>(stream)), lower(counter)};
    int key_0 = lower(seed), key_1 = upper(seed);
    for (int round = 0; round < rounds; ++round) {
      block = next(block, key_0, key_1);
      if (round + 1 == rounds) break;
      key_0 = node(ScalarOp::add, key_0, constant(weyl_0));
      key_1 = node(ScalarOp::add, key_1, constant(weyl_1));
    }
    words_ = block;
  }

  // Word `i`, or its highest bits.
  int word(int i) const { return words_[i]; }
  int high_bits(int i, uint32_t bits) { return node(ScalarOp::shift_right, words_[i], constant(32 - bits)); }
  // As evaluate's whole_bits, in the floating dtype.
  int whole_bits(int first, DType dtype) {
    if (dtype == DType::f32) return stage_.cast(high_bits(first, 24), dtype);
    int high = stage_.cast(high_bits(first, 27), dtype), low = stage_.cast(high_bits(first + 1, 26), dtype);
    return stage_.node(ScalarOp::add, dtype, stage_.node(ScalarOp::mul, dtype, high, stage_.number(dtype, 67108864.0)),
                       low);
  }
  int constant(uint32_t value) { return stage_.number(DType::u32, value); }

 private:
  int node(ScalarOp op, int a, int b) { return stage_.node(op, DType::u32, a, b); }
  int word64(int signed_node) { return stage_.node(ScalarOp::bitcast, DType::u64, signed_node); }
  int lower(int word) { return stage_.cast(word, DType::u32); }
  int upper(int word) {
    int shift = stage_.number(DType::u64, 32);
    return lower(stage_.node(ScalarOp::shift_right, DType::u64, word, shift));
  }
  std::array<int, 4> next(const std::array<int, 4>& block, int key_0, int key_1) {
    int m0 = constant(multiplier_0), m1 = constant(multiplier_1);
    int high_0 = node(ScalarOp::multiply_high, block[0], m0), low_0 = node(ScalarOp::mul, block[0], m0);
    int high_1 = node(ScalarOp::multiply_high, block[2], m1), low_1 = node(ScalarOp::mul, block[2], m1);
    int first = node(ScalarOp::logical_xor, node(ScalarOp::logical_xor, high_1, block[1]), key_0);
    int third = node(ScalarOp::logical_xor, node(ScalarOp::logical_xor, high_0, block[3]), key_1);
    return {first, low_1, third, low_0};
  }

  StageWriter& stage_;
  std::array<int, 4> words_;
};

// `draw` turns words into the result's element.
template <typename Draw>
auto lower_draw(Draw draw) {
  return [draw](const OpView& view) {
    Sizes sizes = view.result().sizes();
    KernelWriter kernel(view);
    StageWriter stage(kernel, std::string(view.entry.name));
    std::vector<Index> position;
    for (int64_t size : sizes) position.push_back(stage.parallel(size));
    PhiloxWriter words(stage, kernel.operand(0), position, sizes, view.attributes.get<int64_t>("stream"));
    stage.store(kernel.result(), position, draw(stage, words, view));
    stage.finish();
    return kernel.take();
  };
}

int write_bits(StageWriter& stage, PhiloxWriter& words, const OpView&) { return stage.cast(words.word(0), DType::i64); }

int write_uniform(StageWriter& stage, PhiloxWriter& words, const OpView& view) {
  DType dtype = view.result().dtype;
  int bits = words.whole_bits(0, dtype);
  return stage.node(ScalarOp::mul, dtype, bits, stage.number(dtype, unit(dtype)));
}

int write_normal(StageWriter& stage, PhiloxWriter& words, const OpView& view) {
  DType dtype = view.result().dtype;
  auto times = [&](int value, double factor) {
    return stage.node(ScalarOp::mul, dtype, value, stage.number(dtype, factor));
  };
  int bits = words.whole_bits(0, dtype);
  int above_zero = stage.node(ScalarOp::add, dtype, bits, stage.number(dtype, 1));
  int logarithm = stage.node(ScalarOp::log, dtype, times(above_zero, unit(dtype)));
  int radius = stage.node(ScalarOp::sqrt, dtype, times(logarithm, -2));
  int angle = times(times(words.whole_bits(2, dtype), unit(dtype)), 2 * std::numbers::pi);
  return stage.node(ScalarOp::mul, dtype, radius, stage.node(ScalarOp::cos, dtype, angle));
}

int write_bernoulli(StageWriter& stage, PhiloxWriter& words, const OpView& view) {
  int bits = words.high_bits(0, 24);
  return stage.node(ScalarOp::less, DType::boolean, bits, words.constant(static_cast<uint32_t>(threshold(view))));
}

// --- entries

std::vector<Sample> draw_samples(const Attributes& attributes, bool floating) {
  std::vector<Sample> samples;
  auto add = [&](Shape shape, int64_t stream, DType dtype) {
    Sample sample{.operands = {Type(DType::i64, {2})}, .attributes = attributes, .ranges = {{-1e18, 1e18}}};
    sample.attributes.set("shape", std::move(shape));
    sample.attributes.set("stream", stream);
    if (floating) sample.attributes.set("dtype", dtype);
    samples.push_back(std::move(sample));
  };
  for (DType dtype : {DType::f32, DType::f64}) {
    add({}, 0, dtype);
    add({37}, 1, dtype);
    add({3, 0}, 1, dtype);
    add({4, 3, 17}, 0xFFFFFFFF, dtype);
    if (!floating) break;
  }
  return samples;
}

}  // namespace

std::vector<OpEntry> random() {
  std::vector<OperandSpec> state{{"state", DTypeClass::index}};
  AttributeSpec shape{"shape", AttributeKind::shape, {}, "of the result"};
  AttributeSpec stream{"stream", AttributeKind::integer, {}, "0 to 2^32 - 1; each random op of a graph has its own"};
  AttributeSpec dtype{"dtype", AttributeKind::dtype, Attribute(DType::f32), "f32 or f64"};
  AttributeSpec probability{"probability", AttributeKind::number, {}, "0 to 1; taken to 24 bits, rounded up"};
  return {
      {.name = "random_bits",
       .summary = "32 random bits an element, as a number from 0 to 2^32 - 1. Philox 4x32-10.",
       .signature = {.operands = state, .attributes = {shape, stream}},
       .infer = infer_bits,
       .evaluate = evaluate_draw(draw_bits),
       .gradient = Gradient::not_differentiable(),
       .realisation = Lower{lower_draw(write_bits)},
       .traits = {.random = true},
       .samples = draw_samples({}, false)},
      {.name = "uniform",
       .summary = "Random numbers evenly spread over [0, 1): multiples of 2^-24 (f32) or 2^-53 (f64).",
       .signature = {.operands = state, .attributes = {shape, stream, dtype}},
       .infer = infer_floating,
       .evaluate = evaluate_draw(draw_uniform),
       .gradient = Gradient::not_differentiable(),
       .realisation = Lower{lower_draw(write_uniform)},
       .traits = {.random = true},
       .samples = draw_samples({}, true)},
      {.name = "normal",
       .summary = "Random numbers of mean 0 and standard deviation 1, by Box and Muller's method.",
       .signature = {.operands = state, .attributes = {shape, stream, dtype}},
       .infer = infer_floating,
       .evaluate = evaluate_draw(draw_normal),
       .gradient = Gradient::not_differentiable(),
       .realisation = Lower{lower_draw(write_normal)},
       .traits = {.random = true},
       .tolerance = {.f32 = 1e-5, .f64 = 1e-13},
       .samples = draw_samples({}, true)},
      {.name = "bernoulli",
       .summary = "True with the given probability.",
       .signature = {.operands = state, .attributes = {shape, stream, probability}},
       .infer = infer_bernoulli,
       .evaluate = evaluate_draw(draw_bernoulli),
       .gradient = Gradient::not_differentiable(),
       .realisation = Lower{lower_draw(write_bernoulli)},
       .traits = {.random = true},
       .samples = draw_samples({{"probability", 0.3}}, false)},
  };
}

}  // namespace placewright::ops
