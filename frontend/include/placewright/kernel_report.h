// What the kernels of a program take of the devices that they were compiled for, where the targets' compilers say so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placewright/ir/kernel_image.h"
#include "placewright/ir/program.h"

namespace placewright {

struct KernelReport {
  std::string target;
  int32_t image = 0;
  std::string entry;
  std::vector<std::string> origins;  // of what launches it
  KernelPhase phase;
  KernelResources uses;
  std::string contraction = {};  // what a library of products may run instead, in words; empty: nothing
  std::string rest = {};         // the phase that then goes on with the product's result; empty: none
};

// One for each phase that the image has resources of, in the order of its entries. `image` is the program's number
// `number`.
std::vector<KernelReport> report_kernels(const Program& program, const KernelImage& image, int32_t number);

// A headline, then a line for each phase and, indented, one for each target that it was compiled for; rows come by
// target. Empty without kernels.
std::vector<std::string> kernel_lines(const std::vector<KernelReport>& kernels);

}  // namespace placewright
