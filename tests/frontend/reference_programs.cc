#include "frontend/reference_programs.h"

#include <cmath>

#include <gtest/gtest.h>

#include "derived_cases.h"

namespace placewright::testing {
namespace {

uint32_t hash(uint32_t stream, uint32_t index) {
  uint32_t h = index * 2654435761u + stream * 2246822519u + 374761393u;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}
double unit(uint32_t stream, int64_t index) {
  return static_cast<double>(hash(stream, static_cast<uint32_t>(index)) >> 8) / 8388608.0 - 1;
}

}  // namespace

Tensor make_images(int step, const Sizes& sizes, DType dtype) {
  HostTensor tensor(dtype, sizes);
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, unit(1000 + step % 4, i));
  return Tensor(std::move(tensor));
}
Tensor make_labels(int step, int64_t count) {
  HostTensor tensor(DType::i64, {count});
  for (int64_t i = 0; i < count; ++i) tensor.set_integer(i, hash(2000 + step % 4, static_cast<uint32_t>(i)) % 10);
  return Tensor(std::move(tensor));
}

void fill(nn::Module& model) {
  uint32_t stream = 0;
  double bound = 0;
  for (const nn::NamedParameter& each : model.named_parameters()) {
    Sizes sizes = each.tensor.sizes();
    if (sizes.size() > 1) bound = 1 / std::sqrt(static_cast<double>(element_count(sizes) / sizes[0]));
    HostTensor value(each.tensor.dtype(), sizes);
    for (int64_t i = 0; i < value.elements(); ++i) value.set_number(i, unit(stream, i) * bound);
    nn::set_value(each.tensor, value);
    ++stream;
  }
}

nn::Sequential make_model(const std::string& program) {
  using namespace nn;
  if (program == "c")
    return Sequential(Conv2d(3, 16, 3, {.padding = 1}), ReLU(), MaxPool2d(2), Flatten(), Linear(784, 10));
  return Sequential(Conv2d(1, 32, 3), ReLU(), Conv2d(32, 64, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(9216, 128),
                    ReLU(), Linear(128, 10));
}

void expect_same_bits(const Trained& found, const Trained& expected) {
  EXPECT_EQ(found.losses, expected.losses);
  ASSERT_EQ(found.parameters.size(), expected.parameters.size());
  for (size_t i = 0; i < found.parameters.size(); ++i)
    EXPECT_TRUE(found.parameters[i].same_bytes(expected.parameters[i]))
        << "parameter " << i << ": " << mismatch(found.parameters[i], expected.parameters[i], 0);
}

}  // namespace placewright::testing
