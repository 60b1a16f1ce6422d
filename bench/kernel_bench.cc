// Kernels of one core against the limits measured beside them: fused multiply-adds a second, and what each kernel
// reaches. Usage: kernel_bench [NAME ...]   (gemm_nn gemm_tn gemm_nt conv conv_weight conv_input ...; all without a
// name)
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <random>

#include <fmt/core.h>

#include "placewright/base/file.h"
#include "placewright/codegen/apply_schedule.h"
#include "placewright/codegen/emitter.h"
#include "placewright/codegen/lower.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/host_tensor.h"
#include "placewright/ir/op_table.h"
#include "placewright/runtime/host_code/host_code.h"

namespace placewright {
namespace {

using PhaseFunction = void (*)(void* const*, const int64_t*, int64_t, int64_t, uint64_t*);

// Of this thread on a processor: what else runs on the machine does not count.
double seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The smallest time of a call over rounds of about 2 ms: the clock, which takes longer than a small kernel, is read
// once a round.
double best_time(const std::function<void()>& call) {
  auto time_of = [&](int64_t calls) {
    double begin = seconds();
    for (int64_t i = 0; i < calls; ++i) call();
    return seconds() - begin;
  };
  int64_t calls = 1;
  while (time_of(calls) < 2e-3) calls *= 2;
  double best = 1e30;
  for (int round = 0; round < 15; ++round) best = std::min(best, time_of(calls) / static_cast<double>(calls));
  return best;
}

// Twelve independent chains of fused multiply-adds on full vectors: the core's limit.
StructuredKernel chains(int64_t steps, int lanes) {
  // out[c, l] = sum over k of a[l] * b[c]: both factors stay in registers.
  StructuredKernel kernel{"peak", {}, {}};
  kernel.buffers = {{"a", DType::f32, {lanes}, {}, KernelBuffer::Role::input, -1},
                    {"b", DType::f32, {12}, {}, KernelBuffer::Role::input, -1},
                    {"out", DType::f32, {12, lanes}, {}, KernelBuffer::Role::output, -1}};
  Stage stage;
  stage.name = "peak";
  stage.extents = {12, lanes, steps};
  stage.reduced = {false, false, true};
  stage.accesses = {{0, {AffineExpr::dim(1, 3)}, false, 0, {}},
                    {1, {AffineExpr::dim(0, 3)}, false, 0, {}},
                    {2, {AffineExpr::dim(0, 3), AffineExpr::dim(1, 3)}, false, 0, {}}};
  stage.body = {{.op = ScalarOp::load, .slot = 0},
                {.op = ScalarOp::load, .slot = 1},
                {.op = ScalarOp::mul, .operands = {0, 1, -1}}};
  stage.reduction = {Reduction::Kind::sum, {DType::f32}, {2}, {{.op = ScalarOp::constant}}, {}, {}};
  stage.epilogue = {{.op = ScalarOp::reduced, .slot = 0}};
  stage.epilogue_stores = {{2, 0, false}};
  kernel.stages = {stage};
  return kernel;
}

struct Case {
  std::string name;
  StructuredKernel kernel;
  double flops;
};

StructuredKernel lower(std::string_view op, std::vector<Type> operands, Attributes attributes) {
  const OpEntry& entry = find_op(op);
  attributes = complete_attributes(entry, std::move(attributes));
  std::vector<Type> results = infer_types({entry, operands, {}, attributes});
  return lower_op({entry, operands, results, attributes});
}

double run(const Case& each, const CpuTarget& target, double peak) {
  StructuredKernel kernel = collapse_dimensions(each.kernel);
  Schedule schedule = choose_schedule(kernel, target);
  double begin = seconds();
  LoopKernel loops = apply_schedule(kernel, schedule, target.vector_bits, "k");
  KernelImage image = emit_cpu_image({&loops, 1}, target);
  double compile = seconds() - begin;
  auto code = HostCode::load(image.bytes, each.name);
  std::vector<HostTensor> buffers;
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const KernelBuffer& buffer : kernel.buffers) {
    if (buffer.role == KernelBuffer::Role::local) continue;
    buffers.emplace_back(buffer.dtype, buffer.sizes);
    for (int64_t i = 0; i < buffers.back().elements(); ++i) buffers.back().set_number(i, uniform(random));
  }
  for (int64_t bytes : image.entries[0].workspace_bytes) buffers.emplace_back(DType::u8, Sizes{bytes});
  std::vector<void*> pointers;
  for (HostTensor& buffer : buffers) pointers.push_back(buffer.raw());
  std::vector<std::pair<PhaseFunction, int64_t>> phases;
  for (const KernelPhase& phase : image.entries[0].phases)
    phases.emplace_back(reinterpret_cast<PhaseFunction>(code->try_symbol(phase.symbol)), phase.extent);
  uint64_t status = 0;
  double time = best_time([&] {
    for (auto [function, extent] : phases) function(pointers.data(), nullptr, 0, extent, &status);
  });
  fmt::print("{:34} {:10.3f} us {:7.1f} GFLOP/s {:5.1f}% of peak, compiled in {:.1f} ms\n", each.name, time * 1e6,
             each.flops / time * 1e-9, 100 * each.flops / time / peak, compile * 1e3);
  if (std::getenv("KERNEL_BENCH_LOOPS")) {
    fmt::print("{}", print_loops(loops));
    for (size_t p = 0; p < phases.size() && phases.size() > 1; ++p) {
      auto [function, extent] = phases[p];
      double each_time = best_time(
          [&, function = function, extent = extent] { function(pointers.data(), nullptr, 0, extent, &status); });
      fmt::print("  k_{} {:.3f} us\n", p, each_time * 1e6);
    }
  }
  if (const char* path = std::getenv("KERNEL_BENCH_OBJECT"))
    std::ofstream(path).write(reinterpret_cast<const char*>(image.bytes.data()),
                              static_cast<std::streamsize>(image.bytes.size()));
  return time;
}

// Launches of a graph, one by one on operands of their own: what each costs, without the executor.
void run_graph(const std::string& path, const CpuTarget& target, double peak) {
  Graph graph = parse_graph(read_text_file(path));
  double total = 0;
  for (size_t i = 0; i < graph.main().ops.size(); ++i) {
    const Op& op = graph.main().ops[i];
    if (!op.is("fused") && !can_lower(*op.entry)) continue;
    StructuredKernel kernel =
        lower_launch(graph, graph.main(), op, [&](StructuredKernel& own) { split_reductions(own, target); });
    std::string name = fmt::format("%{}", i);
    for (const Stage& stage : kernel.stages) name += " " + stage.name;
    double flops = count_cost(kernel).flops;
    total += run({name, std::move(kernel), flops}, target, peak);
  }
  fmt::print("sum {:.1f} us\n", total * 1e6);
}

std::vector<Case> cases() {
  std::vector<Case> cases;
  auto matrix = [](int64_t rows, int64_t columns) { return Type(DType::f32, {rows, columns}); };
  auto gemm = [&](int64_t m, int64_t n, int64_t k) {
    for (auto [form, left, right] : {std::tuple{"nn", 1, 0}, {"tn", 0, 0}, {"nt", 1, 1}})
      cases.push_back(
          {fmt::format("gemm_{} {}x{}x{}", form, m, n, k),
           lower("dot_general", {left == 1 ? matrix(m, k) : matrix(k, m), right == 0 ? matrix(k, n) : matrix(n, k)},
                 {{"lhs_contracting", Sizes{left}}, {"rhs_contracting", Sizes{right}}}),
           2.0 * static_cast<double>(m * n * k)});
  };
  gemm(128, 768, 768);
  gemm(512, 512, 512);
  gemm(64, 128, 9216);
  gemm(128, 512, 784);
  auto conv = [&](int64_t n, int64_t c, int64_t o, int64_t size, int64_t pad) {
    int64_t out = size + 2 * pad - 2;
    Type x(DType::f32, {n, c, size, size}), w(DType::f32, {o, c, 3, 3}), y(DType::f32, {n, o, out, out});
    double flops = 2.0 * static_cast<double>(n * o * c * 9 * out * out);
    std::string what = fmt::format("{}x{}->{}@{}", n, c, o, size);
    Sizes padding{pad, pad};
    cases.push_back(
        {"conv " + what, lower("conv", {x, w}, {{"padding_low", padding}, {"padding_high", padding}}), flops});
    cases.push_back({"conv_weight_gradient " + what,
                     lower("conv_weight_gradient", {x, y},
                           {{"padding_low", padding}, {"padding_high", padding}, {"window", Sizes{3, 3}}}),
                     flops});
    cases.push_back({"conv_input_gradient " + what,
                     lower("conv_input_gradient", {y, w},
                           {{"padding_low", padding}, {"padding_high", padding}, {"input_sizes", Sizes{size, size}}}),
                     flops});
  };
  conv(1, 64, 64, 56, 1);
  conv(1, 128, 128, 28, 1);
  conv(64, 1, 32, 28, 0);
  conv(64, 32, 64, 26, 0);
  return cases;
}

}  // namespace
}  // namespace placewright

int main(int argc, char** argv) {
  using namespace placewright;
  CpuTarget target = host_cpu_target();
  StructuredKernel kernel = chains(1 << 14, target.vector_bits / 32);
  Schedule schedule;
  schedule.stages = {{.loops = {{2, 1, Loop::Binding::serial}}, .vector_dim = 1, .packs = {}}};
  schedule.groups = {{1, {}}};
  schedule.phases = {{1}};
  LoopKernel loops = apply_schedule(kernel, schedule, target.vector_bits, "peak");
  KernelImage image = emit_cpu_image({&loops, 1}, target);
  auto code = HostCode::load(image.bytes, "peak");
  HostTensor a(DType::f32, {64}), b(DType::f32, {64}), out(DType::f32, {1024});
  void* pointers[] = {a.raw(), b.raw(), out.raw()};
  uint64_t status = 0;
  auto function = reinterpret_cast<PhaseFunction>(code->try_symbol("peak_0"));
  double flops = 2.0 * 12 * target.vector_bits / 32 * (1 << 14);
  double peak = flops / best_time([&] { function(pointers, nullptr, 0, 1, &status); });
  fmt::print("peak {:.1f} GFLOP/s\n", peak * 1e-9);
  if (argc == 2 && std::string(argv[1]).ends_with(".pw")) {
    run_graph(argv[1], target, peak);
    return 0;
  }
  for (const Case& each : cases()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || each.name.find(argv[i]) != std::string::npos;
    if (wanted) run(each, target, peak);
  }
}
