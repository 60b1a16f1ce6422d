// The programs that bench measures, as a user would write them: training steps a b c d e, gemm and conv. Weights and
// batches follow bench/formula.h, and so do the peers'.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/compile.h"

namespace placewright::tools {

class BenchProgram {
 public:
  virtual ~BenchProgram() = default;
  // From the initial weights, what bench/peers.py calls `check`: losses of 10 steps and the L2 norm of each parameter,
  // or first and last element and L2 norm of a product.
  virtual std::vector<double> check() = 0;
  // Runs chained steps without reading their results and waits once, at the end.
  virtual void run(int64_t steps) = 0;
  // Floating-point operations of the contractions of one step: the floor is what they take at the peak.
  virtual double flops() const = 0;
  // What it compiled; there is one after the first step.
  virtual const Specialisation& compiled() const = 0;
};

// "gemm" stands for its six cases, "conv" for its two; the other names for themselves. Error for an unknown name.
std::vector<std::string> expand_program(std::string_view name);
// Its weights and batches are on `device` before it begins.
std::unique_ptr<BenchProgram> make_program(std::string_view name, const std::string& device = "cpu:0");

}  // namespace placewright::tools
