// Ops against PyTorch: outputs and gradients in f64, from tests/frontend/reference/composites.json.
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ir/op_testing.h"

namespace placewright::testing {
namespace {

using Json = nlohmann::json;

HostTensor read_tensor(const Json& json, DType dtype) {
  HostTensor tensor(dtype, json.at("shape").get<Sizes>());
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, json.at("values")[i].get<double>());
  return tensor;
}

void set_windows(Attributes& attributes, const Json& given) {
  attributes.set("stride", given.at("stride").get<Sizes>());
  attributes.set("padding_low", given.at("padding").get<Sizes>());
  attributes.set("padding_high", given.at("padding").get<Sizes>());
}

// How an op and its attributes are spelled here; operands in order, by PyTorch's names.
struct Spelling {
  std::string op;
  std::vector<std::string> operands;
  Attributes (*attributes)(const Json&);
};

Attributes none(const Json&) { return {}; }
Attributes of_dim(const Json& given) { return {{"dim", given.at("dim").get<int64_t>()}}; }
Attributes of_window(const Json& given) {
  Attributes attributes{{"window", given.at("kernel").get<Sizes>()}};
  set_windows(attributes, given);
  return attributes;
}

const std::map<std::string, Spelling>& spellings() {
  static const std::map<std::string, Spelling> table = {
      {"softmax", {"softmax", {"x"}, of_dim}},
      {"log_softmax", {"log_softmax", {"x"}, of_dim}},
      {"gelu",
       {"gelu",
        {"x"},
        [](const Json& given) { return Attributes{{"approximate", given.at("approximate").get<std::string>()}}; }}},
      {"silu", {"silu", {"x"}, none}},
      {"relu", {"relu", {"x"}, none}},
      {"layer_norm",
       {"layer_norm",
        {"x", "weight", "bias"},
        [](const Json& given) {
          auto dims = static_cast<int64_t>(given.at("normalized_shape").size());
          return Attributes{{"normalised_dims", dims}, {"epsilon", given.at("eps").get<double>()}};
        }}},
      {"cross_entropy", {"cross_entropy", {"x", "target"}, none}},
      {"nll_loss", {"nll", {"x", "target"}, none}},
      {"mse_loss", {"mse", {"x", "target"}, none}},
      {"max_pool2d", {"max_pool", {"x"}, of_window}},
      {"avg_pool2d", {"avg_pool", {"x"}, of_window}},
      {"conv2d",
       {"conv",
        {"x", "weight"},
        [](const Json& given) {
          Attributes attributes{{"dilation", given.at("dilation").get<Sizes>()},
                                {"groups", given.at("groups").get<int64_t>()}};
          set_windows(attributes, given);
          return attributes;
        }}},
  };
  return table;
}

TEST(Reference, OutputsAndGradientsEqualPyTorch) {
  std::ifstream file(std::string(PLACEWRIGHT_TEST_DATA) + "/../frontend/reference/composites.json");
  ASSERT_TRUE(file) << "the reference numbers are missing";
  const Json cases = Json::parse(file).at("cases");
  ASSERT_GE(cases.size(), 26u);
  for (const Json& json : cases) {
    const Spelling& spelling = spellings().at(json.at("function").get<std::string>());
    const std::string where = json.at("function").get<std::string>() + " " + json.at("attributes").dump();
    OpCase each{spelling.op, {}, spelling.attributes(json.at("attributes"))};
    for (const std::string& name : spelling.operands)
      each.operands.push_back(json.at("inputs").contains(name) ? read_tensor(json.at("inputs").at(name), DType::f64)
                                                               : read_tensor(json.at("indices").at(name), DType::i64));
    HostTensor expected = read_tensor(json.at("output"), DType::f64);
    if (json.at("inputs").contains("bias") && spelling.op == "conv")  // added by PyTorch; an op of its own here
      for (int64_t i = 0, plane = expected.sizes()[2] * expected.sizes()[3]; i < expected.elements(); ++i) {
        auto channel = static_cast<size_t>(i / plane % expected.sizes()[1]);
        expected.set_number(i, expected.number(i) - json.at("inputs").at("bias").at("values")[channel].get<double>());
      }
    expect_near(evaluate_op(each)[0], expected, 1e-13, where);
    if (find_op(each.op).realised_as<Decompose>())
      expect_near(evaluate_decomposition(each)[0], expected, 1e-13, where + ", decomposed");

    std::vector<std::optional<HostTensor>> gradients =
        evaluate_gradients(each, read_tensor(json.at("cotangent"), DType::f64));
    for (size_t i = 0; i < spelling.operands.size(); ++i) {
      if (!json.at("gradients").contains(spelling.operands[i])) continue;
      ASSERT_TRUE(gradients[i]) << where;
      expect_near(*gradients[i], read_tensor(json.at("gradients").at(spelling.operands[i]), DType::f64), 1e-13,
                  where + ", gradient of " + spelling.operands[i]);
    }
  }
}

}  // namespace
}  // namespace placewright::testing
