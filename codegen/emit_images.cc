#include "emit_images.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "parallel.h"
#include "placewright/base/checked.h"
#include "placewright/codegen/apply_schedule.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/work.h"

namespace placewright {
namespace {

// An image more costs about half a millisecond: less code than this is not worth one.
constexpr double image_weight = 600;
constexpr size_t most_images = 4;

double body_weight(const ScalarBody& body) {
  double weight = 0;
  for (const ScalarNode& node : body) weight += 1 + node_weight(node.op);
  return weight;
}

// What the tiles of the open dimensions unroll to, tails included, in vectors where lanes are one.
class LeafWeight {
 public:
  LeafWeight(const Stage& stage, const LoopStage& how) : stage_(stage), how_(how) {}

  double operator()(const std::map<int, int64_t>& steps, const std::vector<Loop>& reductions) const {
    double parallel = 1, reduced = 1;
    for (int d = 0; d < stage_.rank(); ++d) {
      auto step = steps.find(d);
      double points = unrolled(d, step == steps.end() ? stage_.extents[d] : step->second);
      for (const Loop& loop : reductions)
        if (loop.dim == d) points = unrolled(d, loop.step);
      (stage_.reduced[d] ? reduced : parallel) *= points;
    }
    double store = how_.transposed_store ? how_.lanes / 2.0 : 1;
    double stores = static_cast<double>(stage_.stores.size() + stage_.epilogue_stores.size()) * store;
    return parallel * (reduced * body_weight(stage_.body) + body_weight(stage_.epilogue) + stores);
  }

 private:
  // Vectors, or single points, of a full tile and of the tail.
  double unrolled(int d, int64_t step) const {
    int64_t lanes = d == how_.vector_dim ? how_.lanes : 1;
    int64_t tail = step < stage_.extents[d] ? stage_.extents[d] % step : 0;
    return static_cast<double>(ceil_div(std::min(step, stage_.extents[d]), lanes) + ceil_div(tail, lanes));
  }

  const Stage& stage_;
  const LoopStage& how_;
};

double nodes_weight(const LoopKernel& loops, const std::vector<LoopNode>& nodes, const std::map<int, int64_t>& steps) {
  double weight = 0;
  for (const LoopNode& node : nodes) {
    if (node.kind == LoopNode::Kind::leaf) {
      weight += LeafWeight(loops.kernel.stages[node.stage], loops.stages[node.stage])(steps, node.reductions);
      continue;
    }
    std::map<int, int64_t> inner = steps;
    inner[node.dim] = node.step;
    weight += nodes_weight(loops, node.body, inner);
  }
  return weight;
}

// The heaviest first, each to the lightest image so far.
std::vector<int> split(const std::vector<LoopKernel>& loops, size_t& images) {
  std::vector<double> weights;
  for (const LoopKernel& each : loops) weights.push_back(code_weight(each));

  double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  images = std::clamp<size_t>(static_cast<size_t>(total / image_weight), 1, most_images);
  images = std::min(images, std::max<size_t>(loops.size(), 1));
  std::vector<size_t> order(loops.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  std::vector<double> filled(images, 0);
  std::vector<int> image_of(loops.size());
  for (size_t kernel : order) {
    auto lightest = std::min_element(filled.begin(), filled.end());
    *lightest += weights[kernel];
    image_of[kernel] = static_cast<int>(lightest - filled.begin());
  }
  return image_of;
}

}  // namespace

double code_weight(const LoopKernel& loops) {
  double weight = 0;
  for (const LoopFunction& function : loops.functions) weight += nodes_weight(loops, function.nodes, {});
  return weight;
}

EmittedKernels emit_images(std::vector<StructuredKernel> kernels, const CpuTarget& target, const EmitOptions& options,
                           int threads) {
  std::vector<LoopKernel> loops(kernels.size());
  parallel_for(threads, kernels.size(), [&](size_t i) {
    const std::string name = kernels[i].name;
    StructuredKernel kernel = collapse_dimensions(std::move(kernels[i]));
    kernel.name = name;
    Schedule schedule = choose_schedule(kernel, target);
    loops[i] = apply_schedule(std::move(kernel), std::move(schedule), target.vector_bits, name);
  });
  EmittedKernels emitted;
  if (loops.empty()) return emitted;
  size_t images = 1;
  emitted.image_of = split(loops, images);
  emitted.images.resize(images);
  parallel_for(threads, images, [&](size_t image) {
    std::vector<LoopKernel> mine;
    for (size_t i = 0; i < loops.size(); ++i)
      if (emitted.image_of[i] == static_cast<int>(image)) mine.push_back(std::move(loops[i]));
    emitted.images[image] = emit_cpu_image(mine, target, options);
  });
  return emitted;
}

}  // namespace placewright
