// Reductions with few results or few terms, whose lanes stand apart: loads in runs that are transposed in registers,
// and sums that are split into chains. Against `evaluate`.
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "derived_cases.h"
#include "placewright/codegen/apply_schedule.h"
#include "run_kernel.h"

namespace placewright::testing {
namespace {

std::vector<CpuTarget> targets() {
  int bits = host_cpu_target().vector_bits;
  std::vector<CpuTarget> targets{named_cpu_target("x86-64-v2")};
  if (bits >= 256) targets.push_back(named_cpu_target("x86-64-v3"));
  if (bits >= 512) targets.push_back(named_cpu_target("x86-64-v4"));
  return targets;
}

DerivedCase make_case(std::string_view op, std::vector<Type> operands, Attributes attributes) {
  DerivedCase made;
  made.entry = &find_op(op);
  made.name = std::string(op);
  for (const Type& type : operands) made.name += " " + type.to_string();
  made.ranges.assign(operands.size(), {-1, 1});
  made.operands = std::move(operands);
  made.attributes = complete_attributes(*made.entry, std::move(attributes));
  made.results = infer_types({*made.entry, made.operands, {}, made.attributes});
  return made;
}

// With splits decided as for the op alone, and left open.
using MakeOperands = std::vector<HostTensor>(const DerivedCase&);

void check(const std::vector<DerivedCase>& cases, MakeOperands* make = make_operands) {
  for (const CpuTarget& target : targets())
    for (bool split : {false, true}) {
      std::vector<StructuredKernel> kernels;
      for (const DerivedCase& each : cases) {
        kernels.push_back(lower_op(each.view()));
        if (split) split_reductions(kernels.back(), target);
      }
      KernelImage image = compile_kernels(kernels, target);
      for (size_t i = 0; i < cases.size(); ++i) {
        std::vector<HostTensor> operands = make(cases[i]), expected = evaluate_case(cases[i], operands);
        std::vector<HostTensor> buffers = operands;
        for (const HostTensor& result : expected) buffers.emplace_back(result.dtype(), result.sizes());
        EXPECT_EQ(run_entry(image, i, buffers), Status::ok);
        EXPECT_EQ(mismatch(buffers.back(), expected[0], tolerance(*cases[i].entry, expected[0].dtype())), "")
            << cases[i].name << " " << target.vector_bits << " bits, split " << split;
      }
    }
}

// NaN wins wherever it stands.
TEST(SmallReductions, OfSpecialValues) { check(reductions_of_rows(), special_rows); }

TEST(SmallReductions, ProductsOfRows) {
  std::vector<DerivedCase> cases;
  for (DType dtype : {DType::f32, DType::f64})
    for (int64_t rows : {3, 16, 37, 100})
      for (auto [terms, outputs] : {std::pair<int64_t, int64_t>{10, 1}, {10, 2}, {4, 3}, {2, 4}, {7, 2}, {19, 2}}) {
        Type x(dtype, {rows, terms}), w(dtype, {outputs, terms}), gradient(dtype, {rows, outputs});
        cases.push_back(
            make_case("dot_general", {x, w}, {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{1}}}));
        cases.push_back(
            make_case("dot_general", {gradient, x}, {{"lhs_contracting", Sizes{0}}, {"rhs_contracting", Sizes{0}}}));
      }
  check(cases);
}

TEST(SmallReductions, SumsOverRowsAndOverAll) {
  std::vector<DerivedCase> cases;
  for (DType dtype : {DType::f32, DType::f64})
    for (int64_t rows : {5, 32, 100})
      for (int64_t columns : {1, 2, 4, 10})
        for (Sizes dims : {Sizes{0}, Sizes{0, 1}, Sizes{1}})
          cases.push_back(make_case("reduce_sum", {Type(dtype, {rows, columns})}, {{"dims", dims}}));
  check(cases);
}

// A copy into blocks that are shorter than the tile that writes them.
TEST(SmallReductions, PacksIntoShortBlocks) {
  DerivedCase product = make_case("dot_general", {Type(DType::f32, {24, 16}), Type(DType::f32, {16, 8})},
                                  {{"lhs_contracting", Sizes{1}}, {"rhs_contracting", Sizes{0}}});
  StructuredKernel kernel = lower_op(product.view());
  std::vector<HostTensor> operands = make_operands(product), expected = evaluate_case(product, operands);
  for (const CpuTarget& target : targets())
    for (int64_t block : {2, 4, 8}) {
      Schedule schedule = choose_schedule(kernel, target);
      StageSchedule& stage = schedule.stages[0];
      stage = {};
      stage.vector_dim = 1;
      stage.loops = {{0, block, Loop::Binding::serial}, {1, 8, Loop::Binding::serial}, {2, 1, Loop::Binding::serial}};
      int rows = kernel.stages[0].accesses[0].buffer == 0 ? 0 : 1;  // the access of the first operand
      stage.packs = {{rows, {{0, 1}, {{0, block}}, {}}}};
      schedule.phases = {Phase{1}};
      LoopKernel loops = apply_schedule(kernel, schedule, target.vector_bits, "blocks");
      std::vector<HostTensor> buffers = operands;
      buffers.emplace_back(DType::f32, Sizes{24, 8});
      EXPECT_EQ(run_entry(emit_cpu_image({&loops, 1}, target), 0, buffers), Status::ok);
      EXPECT_EQ(mismatch(buffers.back(), expected[0], tolerance(*product.entry, DType::f32)), "")
          << "blocks of " << block << ", " << target.vector_bits << " bits";
    }
}

}  // namespace
}  // namespace placewright::testing
