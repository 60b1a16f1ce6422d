// safetensors files: named tensors behind a JSON header (huggingface.co/docs/safetensors). Nothing in a file is run,
// and nothing is allocated that the file cannot fill.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "placewright/ir/host_tensor.h"
#include "placewright/nn.h"
#include "placewright/optim.h"

namespace placewright {

using NamedTensors = std::map<std::string, HostTensor>;

// Error names the file, what was found and what was expected: truncated, foreign or damaged headers, overlapping or
// missing bytes, unknown dtypes.
NamedTensors read_safetensors(const std::filesystem::path& path);
// All or nothing: a full disk leaves the old file. Tensors stand in the order of their names.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors);

// A model's parameters; with an optimizer all that training goes on from: the optimizer's state and step counter, with
// "optimizer." before their names, and what modules draw random numbers from, "random." before the module's path.
void save(const std::filesystem::path& path, const nn::Module& model, const optim::Optimizer* optimizer = nullptr);
// Error, before anything is changed, unless the file has exactly the parameters of the model, of their dtypes and
// shapes. State of the optimizer that the file lacks starts anew; random states that it lacks stay as they are.
void load(const std::filesystem::path& path, nn::Module& model, optim::Optimizer* optimizer = nullptr);

}  // namespace placewright
