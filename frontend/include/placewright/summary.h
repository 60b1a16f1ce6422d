// What a model is made of, layer by layer, for one input.
#pragma once

#include <string>
#include <vector>

#include "placewright/nn.h"

namespace placewright {

struct LayerSummary {
  std::string path;         // "layers.0"; empty: the model itself
  std::string description;  // "Linear(10, 2)"
  Shape output;             // of its last call
  int64_t parameters = 0;   // elements of its own, without those of its submodules
  int64_t bytes = 0;        // of them
  double flops = 0;         // of its own forward ops; fused multiply-add counts as two
  DeviceId device;          // of its output
};

struct ModelSummary {
  std::vector<LayerSummary> layers;  // in order of registration, depth first; the model first
  int64_t parameters = 0, trainable = 0, bytes = 0;
  double flops = 0;
  std::string to_string() const;  // a table
};

// Captures model(input); nothing is run.
ModelSummary summarise(nn::Module& model, const Tensor& input);

}  // namespace placewright
