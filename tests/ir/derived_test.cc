// Tests made from the op table at run time, four for each op: its graph verifies and round-trips, bad operands are
// refused with the op's name, its kernel (or decomposition) agrees with evaluate, its gradient with finite differences.
#include <cmath>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "derived_cases.h"
#include "gradient_graph.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/ir/interpret_kernel.h"
#include "placewright/passes/pass.h"

namespace placewright::testing {
namespace {

class FunctionTest : public ::testing::Test {
 public:
  explicit FunctionTest(std::function<void()> body) : body_(std::move(body)) {}
  void TestBody() override { body_(); }

 private:
  std::function<void()> body_;
};

void register_test(const char* suite, std::string_view name, std::function<void()> body) {
  ::testing::RegisterTest(suite, std::string(name).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [body = std::move(body)]() -> ::testing::Test* { return new FunctionTest(body); });
}

// --- graphs

void check_graph(const OpEntry& entry) {
  std::vector<DerivedCase> cases = derived_cases(entry);
  EXPECT_FALSE(cases.empty()) << "the entry has no samples";
  for (const DerivedCase& each : cases) {
    SCOPED_TRACE(each.name);
    Graph graph = make_graph(each);
    verify_graph(graph);
    std::string text = print_graph(graph);
    Graph parsed = parse_graph(text);
    verify_graph(parsed);
    EXPECT_EQ(print_graph(parsed), text);
    std::vector<HostTensor> operands = make_operands(each);
    std::vector<HostTensor> direct = evaluate_case(each, operands), found = evaluate(parsed, operands).results;
    ASSERT_EQ(found.size(), direct.size());
    for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(found[i].same_bytes(direct[i]));
  }
}

// --- refusals

// Expects an Error that names the op.
template <typename Body>
void expect_refused(const OpEntry& entry, const std::string& what, Body body) {
  try {
    body();
    ADD_FAILURE() << entry.name << " accepts " << what;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(entry.name), std::string::npos) << what << ": " << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << what << ": " << error.what();
  }
}

void check_refusals(const OpEntry& entry) {
  DerivedCase good = derived_cases(entry).front();
  auto infer = [&](const std::vector<Type>& operands) { infer_types({entry, operands, {}, good.attributes}); };
  const std::vector<OperandSpec>& specs = entry.signature.operands;
  bool variadic = !specs.empty() && specs.back().variadic;
  if (!variadic) {
    std::vector<Type> more = good.operands;
    more.emplace_back(DType::f32, Shape{});
    expect_refused(entry, "an operand too many", [&] { infer(more); });
  }
  if (!specs.empty()) expect_refused(entry, "no operands", [&] { infer({}); });
  for (size_t i = 0; i < good.operands.size(); ++i)
    for (DType dtype : {DType::boolean, DType::u8, DType::i64, DType::f32, DType::f16}) {
      std::vector<Type> operands = good.operands;
      operands[i].set_dtype(dtype);
      const OperandSpec& spec = specs[std::min(i, specs.size() - 1)];
      bool mixed = entry.signature.same_dtype && operands.size() > 1 && dtype != good.operands[i].tensor().dtype;
      if (!accepts(spec.dtypes, dtype) || mixed)
        expect_refused(entry, fmt::format("{} as {}", name(dtype), spec.name), [&] { infer(operands); });
    }
  if (entry.realised_as<Scalar>() && good.operands.size() > 1) {
    std::vector<Type> operands = good.operands;
    Shape longer = operands[1].tensor().shape;
    longer.emplace_back(5);
    operands[1].set_shape(std::move(longer));
    expect_refused(entry, "operands of different shapes", [&] { infer(operands); });
  }
  Attributes unknown = good.attributes;
  unknown.set("no_such_attribute", true);
  expect_refused(entry, "an unknown attribute", [&] { complete_attributes(entry, unknown); });
  for (const AttributeSpec& spec : entry.signature.attributes) {
    Attributes wrong = good.attributes;
    wrong.set(spec.name, spec.kind == AttributeKind::string ? Attribute(true) : Attribute(std::string("wrong")));
    expect_refused(entry, "a wrong kind of " + std::string(spec.name), [&] { complete_attributes(entry, wrong); });
    Attributes missing;
    for (const auto& [key, value] : good.attributes)
      if (key != spec.name) missing.set(key, value);
    if (!spec.fallback)
      expect_refused(entry, "no " + std::string(spec.name), [&] { complete_attributes(entry, missing); });
  }
}

// --- kernels

void check_kernel(const OpEntry& entry) {
  for (const DerivedCase& each : derived_cases(entry)) {
    SCOPED_TRACE(each.name);
    StructuredKernel kernel = lower_op(each.view());
    std::vector<HostTensor> operands = make_operands(each);
    std::vector<HostTensor> expected = evaluate_case(each, operands);
    std::vector<HostTensor> buffers;
    for (const HostTensor& operand : operands) buffers.push_back(operand.clone());
    for (const HostTensor& result : expected) {
      buffers.emplace_back(result.dtype(), result.sizes());
      // What no store reaches shows: NaN in floating results.
      std::memset(buffers.back().raw(), 0xFF, static_cast<size_t>(buffers.back().bytes()));
    }
    EXPECT_EQ(interpret_kernel(kernel, buffers), Status::ok);
    for (size_t i = 0; i < operands.size(); ++i) EXPECT_TRUE(buffers[i].same_bytes(operands[i])) << "operand written";
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(mismatch(buffers[operands.size() + i], expected[i], tolerance(entry, expected[i].dtype())), "");
  }
}

// --- decompositions

void check_decomposition(const OpEntry& entry) {
  for (const DerivedCase& each : derived_cases(entry)) {
    SCOPED_TRACE(each.name);
    Graph graph = decompose(make_graph(each), {});
    verify_graph(graph);
    for (const Op& op : graph.main().ops) EXPECT_FALSE(op.entry->realised_as<Decompose>()) << op.name();
    std::vector<HostTensor> operands = make_operands(each);
    std::vector<HostTensor> expected = evaluate_case(each, operands), found = evaluate(graph, operands).results;
    for (size_t i = 0; i < found.size(); ++i)
      EXPECT_EQ(mismatch(found[i], expected[i], tolerance(entry, expected[i].dtype())), "");
  }
}

// --- gradients

void check_gradient_case(const DerivedCase& each, const std::vector<Reach>& reach) {
  constexpr double step = 1e-6, absolute = 1e-5, relative = 1e-3;
  GradientGraph made = make_gradient_graph(each, reach);
  Graph expanded = differentiate(made.graph, {});
  verify_graph(expanded);
  std::vector<HostTensor> found = evaluate(expanded, made.inputs).results;
  ASSERT_EQ(found.size(), made.wanted.size() + 1);
  for (size_t k = 0; k < made.wanted.size(); ++k) {
    auto operand = static_cast<size_t>(made.wanted[k]);
    const HostTensor& gradient = found[k + 1];
    ASSERT_EQ(gradient.sizes(), made.inputs[operand].sizes());
    // A dozen elements of a large operand tell as much as all.
    int64_t stride = std::max<int64_t>(1, gradient.elements() / 16);
    for (int64_t i = 0; i < gradient.elements(); i += stride) {
      std::vector<HostTensor> moved = made.inputs;
      auto loss_at = [&](double delta) {
        moved[operand] = made.inputs[operand].clone();
        moved[operand].set_number(i, made.inputs[operand].number(i) + delta);
        return evaluate(made.graph, 1, moved).results[0].number(0);
      };
      double expected = (loss_at(step) - loss_at(-step)) / (2 * step);
      EXPECT_NEAR(gradient.number(i), expected, absolute + relative * std::abs(expected))
          << "operand " << operand << ", element " << i;
    }
  }
}

void check_gradient(const OpEntry& entry) {
  int cases = 0;
  for (const DerivedCase& each : derived_cases(entry)) {
    if (!each.differentiable) continue;
    ++cases;
    SCOPED_TRACE(each.name);
    check_gradient_case(each, std::vector<Reach>(each.operands.size(), Reach::plain));
    bool is_matrix = entry.realised_as<Scalar>() != nullptr;
    for (const Type& type : each.operands) is_matrix = is_matrix && type.tensor().shape == Shape{3, 4};
    if (!is_matrix) continue;
    for (int turn = 0; turn < 3; ++turn) {
      std::vector<Reach> reach;
      for (size_t i = 0; i < each.operands.size(); ++i)
        reach.push_back(static_cast<Reach>(1 + (turn + static_cast<int>(i)) % 3));
      check_gradient_case(each, reach);
    }
  }
  EXPECT_GE(cases, 5) << "expected samples of at least five shapes that are differentiable";
}

bool register_all() {
  for (const OpEntry& entry : op_table()) {
    if (entry.is_structural()) continue;
    register_test("DerivedGraph", entry.name, [&] { check_graph(entry); });
    register_test("DerivedRefusal", entry.name, [&] { check_refusals(entry); });
    if (can_lower(entry)) register_test("DerivedKernel", entry.name, [&] { check_kernel(entry); });
    if (entry.realised_as<Decompose>())
      register_test("DerivedDecomposition", entry.name, [&] { check_decomposition(entry); });
    if (entry.gradient.kind() != Gradient::Kind::not_differentiable)
      register_test("DerivedGradient", entry.name, [&] { check_gradient(entry); });
  }
  return true;
}

const bool registered = register_all();

}  // namespace
}  // namespace placewright::testing
