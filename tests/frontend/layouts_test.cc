// Weights that only inference reads are kept packed; what people see of them, and every bit of the results, stays.
#include <gtest/gtest.h>

#include "placewright/ir/program.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

class Layouts : public ::testing::Test {
 protected:
  void SetUp() override {
    SessionOptions options;
    options.use_cache = false;
    options.check_memory = true;
    options.notice = [this](std::string_view line) { notices_.emplace_back(line); };
    configure(options);
    manual_seed(3);
  }
  void TearDown() override { configure({}); }

  static const ProgramBuffer& weight(const Specialisation& specialisation) {
    for (const ProgramBuffer& buffer : specialisation.program().buffers)
      if (buffer.kind == BufferKind::state && buffer.sizes.size() == 2) return buffer;
    ADD_FAILURE() << "no weight among the program's states";
    return specialisation.program().buffers[0];
  }

  std::vector<std::string> notices_;
};

TEST_F(Layouts, InferencePacksAWeightOnce) {
  nn::Linear model(300, 200);
  HostTensor before = model.weight.value();
  Tensor x = randn({64, 300});
  CompiledFunction forward = compile(model);
  HostTensor packed = forward(x).value();
  EXPECT_FALSE(weight(forward.last()).layout.is_row_major());
  EXPECT_TRUE(model.weight.value().same_bytes(before));

  // The same module's training step keeps the weight row-major; with rate 0 nothing changes, to the bit.
  optim::SGD sgd(model.named_parameters(), {.lr = 0});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), sgd);
  step(x, zeros({64, 200})).item();
  EXPECT_TRUE(weight(step.last()).layout.is_row_major());
  EXPECT_TRUE(model.weight.value().same_bytes(before));
  EXPECT_TRUE(forward(x).value().same_bytes(packed));

  // A module that was trained first stays row-major for inference, which gives the same bits.
  nn::Linear other(300, 200);
  nn::set_value(other.weight, before);
  nn::set_value(other.bias, model.bias.value());
  optim::SGD still(other.named_parameters(), {.lr = 0});
  TrainingStep first = compile_training_step(other, nn::MSELoss(), still);
  first(x, zeros({64, 200})).item();
  CompiledFunction later = compile(other);
  EXPECT_TRUE(later(x).value().same_bytes(packed));
  EXPECT_TRUE(weight(later.last()).layout.is_row_major());
}

// Odd sizes: tails of blocks, one row, one column, narrow and deep.
TEST_F(Layouts, PackedGivesTheBitsOfRowMajor) {
  int packed = 0;
  for (int64_t rows : {5, 64})
    for (int64_t in : {7, 300})
      for (int64_t out : {10, 17, 100}) {
        nn::Linear model(in, out), settled(in, out);
        nn::set_value(settled.weight, model.weight.value());
        nn::set_value(settled.bias, model.bias.value());
        optim::SGD still(settled.named_parameters(), {.lr = 0});
        TrainingStep step = compile_training_step(settled, nn::MSELoss(), still);
        Tensor x = randn({rows, in});
        step(x, zeros({rows, out})).item();
        CompiledFunction one = compile([&](const Tensor& t) { return gelu(model(t)); });
        CompiledFunction other = compile([&](const Tensor& t) { return gelu(settled(t)); });
        EXPECT_TRUE(one(x).value().same_bytes(other(x).value())) << rows << " x " << in << " x " << out;
        packed += !weight(one.last()).layout.is_row_major();
      }
  EXPECT_GE(packed, 4) << packed;
}

TEST_F(Layouts, ASecondSpecialisationTakesTheLayoutFound) {
  nn::Linear model(512, 512);
  CompiledFunction forward = compile(model);
  Tensor x = randn({256, 512});
  HostTensor whole = forward(x).value();
  Layout found = weight(forward.last()).layout;
  EXPECT_FALSE(found.is_row_major());
  HostTensor part = forward(slice(x, 0, 0, 1)).value();  // gains nothing by it: reads through a relayout
  EXPECT_EQ(weight(forward.last()).layout, found);
  EXPECT_EQ(forward.specialisations().size(), 2u);
  std::span<const float> some = std::as_const(part).data<float>(), all = std::as_const(whole).data<float>();
  for (size_t i = 0; i < some.size(); ++i) ASSERT_NEAR(some[i], all[i], 1e-5);
}

TEST_F(Layouts, AConvolutionAndADtypeBesideIt) {
  for (DType dtype : {DType::f32, DType::f64}) {
    nn::Sequential made(nn::Conv2d(3, 20, 3, {.padding = 1}), nn::ReLU(), nn::Flatten(), nn::Linear(20 * 64, 33));
    nn::Sequential trained(nn::Conv2d(3, 20, 3, {.padding = 1}), nn::ReLU(), nn::Flatten(), nn::Linear(20 * 64, 33));
    made.to(dtype), trained.to(dtype);
    for (size_t p = 0; p < made.parameters().size(); ++p)
      nn::set_value(trained.parameters()[p], made.parameters()[p].value());
    optim::SGD still(trained.named_parameters(), {.lr = 0});
    TrainingStep step = compile_training_step(trained, nn::MSELoss(), still);
    Tensor x = randn({6, 3, 8, 8}, dtype);
    step(x, zeros({6, 33}, dtype)).item();
    EXPECT_TRUE(compile(made)(x).value().same_bytes(compile(trained)(x).value()));
  }
}

TEST_F(Layouts, NewValuesReachAPackedWeight) {
  nn::Linear model(300, 200);
  CompiledFunction forward = compile(model);
  Tensor x = randn({64, 300});
  forward(x).value();
  HostTensor zero(DType::f32, {200, 300});
  nn::set_value(model.weight, zero);
  HostTensor bias = model.bias.value(), y = forward(x).value();
  for (int64_t i = 0; i < y.elements(); ++i) ASSERT_EQ(y.number(i), bias.number(i % 200));
}

}  // namespace
}  // namespace placewright
