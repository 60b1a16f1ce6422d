#include "matrix_cases.h"

#include "cuda_cases.h"

namespace placewright::testing {
namespace {

Attributes batched(int64_t left, int64_t right) {
  Attributes attributes = contracting(left, right);
  attributes.set("lhs_batch", Sizes{0});
  attributes.set("rhs_batch", Sizes{0});
  return attributes;
}

Attributes window(int64_t stride, int64_t padding) {
  return {{"stride", Sizes{stride, stride}},
          {"padding_low", Sizes{padding, padding}},
          {"padding_high", Sizes{padding, padding}}};
}

// A convolution and its two gradients, of one geometry.
void add_convolution(std::vector<DerivedCase>& cases, const Shape& input, const Shape& weight, Attributes attributes,
                     Precision precision) {
  cases.push_back(rounded("conv", input, weight, attributes, precision));
  const Shape result = cases.back().results[0].tensor().shape;
  Attributes of_input = attributes, of_weight = attributes;
  of_input.set("input_sizes", Sizes{input[2].number(), input[3].number()});
  of_weight.set("window", Sizes{weight[2].number(), weight[3].number()});
  cases.push_back(rounded("conv_input_gradient", result, weight, of_input, precision));
  cases.push_back(rounded("conv_weight_gradient", input, result, of_weight, precision));
}

}  // namespace

Attributes contracting(int64_t left, int64_t right) {
  return {{"lhs_contracting", Sizes{left}}, {"rhs_contracting", Sizes{right}}};
}

DerivedCase rounded(std::string_view op, const Shape& left, const Shape& right, Attributes attributes,
                    Precision precision) {
  attributes.set("precision", std::string(name(precision)));
  return large_case(op, {Type(DType::f32, left), Type(DType::f32, right)}, std::move(attributes));
}

std::vector<DerivedCase> matrix_cases(Precision precision) {
  std::vector<DerivedCase> cases{
      rounded("dot_general", {70, 50}, {50, 37}, contracting(1, 0), precision),        // NN, nothing divides a tile
      rounded("dot_general", {40, 100}, {130, 40}, contracting(0, 1), precision),      // TT
      rounded("dot_general", {24, 64}, {24, 128}, contracting(0, 0), precision),       // TN, 16 bytes at once
      rounded("dot_general", {64, 96}, {32, 96}, contracting(1, 1), precision),        // NT
      rounded("dot_general", {3, 33, 17}, {3, 17, 41}, batched(2, 1), precision),      // odd
      rounded("dot_general", {130, 64, 32}, {130, 32, 64}, batched(2, 1), precision),  // tiles of 64
      rounded("dot_general", {32, 256, 9}, {32, 9, 256}, batched(2, 1), precision),    // tiles of 128 by 128
      rounded("dot_general", {16, 5, 8}, {5, 8, 16},
              {{"lhs_contracting", Sizes{1, 2}}, {"rhs_contracting", Sizes{0, 1}}},
              precision),                                                            // two dimensions as one depth
      rounded("dot_general", {50, 40}, {40, 10}, contracting(1, 0), precision),      // few columns
      rounded("dot_general", {9, 40}, {70, 40}, contracting(1, 1), precision),       // few rows: the smaller side
      rounded("dot_general", {2600, 20}, {20, 7}, contracting(1, 0), precision),     // tiles with 8 columns
      rounded("dot_general", {20, 2048}, {2048, 30}, contracting(1, 0), precision),  // depth in four pieces
  };
  add_convolution(cases, {3, 17, 11, 13}, {18, 17, 3, 3}, window(1, 1), precision);
  add_convolution(cases, {2, 17, 9, 9}, {16, 17, 3, 2}, window(2, 1), precision);
  Attributes grouped = window(1, 0);
  grouped.set("groups", int64_t{2});
  add_convolution(cases, {2, 32, 8, 8}, {32, 16, 1, 1}, grouped, precision);
  add_convolution(cases, {8, 6, 14, 14}, {12, 6, 3, 3}, window(1, 1), precision);  // few channels, many positions
  return cases;
}

}  // namespace placewright::testing
