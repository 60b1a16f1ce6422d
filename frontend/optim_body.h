// An optimizer's captured side: its state tensors, its hyper-parameters as arguments, its updates as nodes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "capture/node.h"
#include "placewright/optim.h"

namespace placewright::optim {

struct Optimizer::Body {
  std::map<std::string, Tensor> state;  // by name: "fc1.weight.momentum", "step"

  Tensor find_or_make(const std::string& name, const Type& type);
};

// The trainable parameters, in the order of the groups.
std::vector<Tensor> trainable(const Optimizer& optimizer);

struct CapturedHypers {
  std::vector<Tensor> arguments;  // f64 scalars, in the order of hyper_values
};
CapturedHypers capture_hypers(const Optimizer& optimizer);
// What the arguments are worth now: into as many doubles as there are arguments.
void hyper_values(const Optimizer& optimizer, std::span<double> values);
size_t hyper_count(const Optimizer& optimizer);

// The updates of all trainable parameters, given their gradients in the order of trainable().
std::vector<capture::CapturedUpdate> capture_updates(const Optimizer& optimizer, std::span<const Tensor> gradients,
                                                     const CapturedHypers& hypers, capture::Site site);

// Values for the state tensors, by name ("fc1.weight.momentum", "step"). check: Error unless each belongs to a
// parameter and has its type, or is the counter. set: those that are given get their values, the others start anew.
void check_state(const Optimizer& optimizer, const std::map<std::string, HostTensor>& values,
                 const std::string& source);
void set_state(const Optimizer& optimizer, const std::map<std::string, HostTensor>& values);

// Changes when the captured updates would: frozen parameters, groups, clipping switched on or off.
uint64_t structure(const Optimizer& optimizer);

}  // namespace placewright::optim
