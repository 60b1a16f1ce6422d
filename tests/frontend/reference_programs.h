// Programs of the design for the frontend's tests, with the weights and batches that scripts/make_reference.py's
// formula gives.
#pragma once

#include <string>
#include <vector>

#include "placewright/placewright.h"

namespace placewright::testing {

// (c): a small CNN on 16 images of 3x14x14. (e): the Fashion-MNIST CNN on images of 1x28x28.
nn::Sequential make_model(const std::string& program);
// Sets every parameter by the formula.
void fill(nn::Module& model);
// Batch number `step`, counted from 0: there are four, taken in turn.
Tensor make_images(int step, const Sizes& sizes, DType dtype);
Tensor make_labels(int step, int64_t count);

// What a training computed.
struct Trained {
  std::vector<double> losses;
  std::vector<HostTensor> parameters;
};
void expect_same_bits(const Trained& found, const Trained& expected);

}  // namespace placewright::testing
