// CUDA C++ for structured kernels, and what NVRTC makes of it. Nothing here needs a GPU or a driver.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "placewright/ir/kernel.h"
#include "placewright/ir/kernel_image.h"
#include "placewright/ir/kernel_resources.h"
#include "placewright/ir/schedule.h"

namespace placewright {

// The same kernel with the sums of products in two stages whose results are too few to give every multiprocessor work:
// sums of pieces of the depth, side by side, then these added up in order. Follows from the kernel alone.
StructuredKernel split_depth(StructuredKernel kernel);

// A pure function of the kernel: which stages share a launch, and how threads share out their domains.
Schedule choose_grid_schedule(const StructuredKernel& kernel);

// The product of matrices that a kernel is, if it is one and nothing else, up to the order of sums; its dimensions are
// collapsed.
std::optional<Contraction> match_contraction(const StructuredKernel& kernel);

// A kernel that begins with a product of matrices, of a size that may be worth a launch of its own, and does more with
// it. The product's result is dense and in memory of its own, which `rest` takes as a parameter behind the kernel's.
struct PartedContraction {
  Contraction contraction;
  StructuredKernel rest;
};
// `deep`: the kernel as split_depth makes it, whose parameters count.
std::optional<PartedContraction> part_contraction(const StructuredKernel& kernel, const StructuredKernel& deep);

// Of what is emitted for the kernel: what stages hand on to one another in the device's memory.
std::vector<int64_t> workspace_bytes(const StructuredKernel& kernel, const Schedule& schedule);

struct CudaText {
  std::string text;
  std::vector<KernelEntry> entries;  // named as their kernels
};

// One text for all kernels, the prelude included; each phase becomes a __global__ function by the ABI of grids in
// ir/kernel_image.h. Error if a schedule does not fit its kernel.
CudaText emit_cuda_text(std::span<const StructuredKernel> kernels, std::span<const Schedule> schedules);

// What a multiprocessor of the target holds of a phase; says nothing for a target whose limits are not known.
void add_occupancy(KernelResources& uses, const KernelPhase& phase, const std::string& target);

// `target`: "sm_90" for a cubin, whose resources have one element for each phase, in the order of the entries;
// "compute_80" for PTX. Error if NVRTC is missing or refuses.
KernelImage compile_cuda_text(const CudaText& text, const std::string& target);

}  // namespace placewright
