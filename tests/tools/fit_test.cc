// placewright fit, held against `place`, which shares none of its judgement.
#include <filesystem>
#include <sstream>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "placewright/base/file.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/mixed_precision.h"
#include "placewright/passes/pass.h"
#include "placewright/passes/resize_batch.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string lenet = PLACEWRIGHT_TEST_DATA "/../../examples/graphs/lenet.pw";
const std::string transformer = PLACEWRIGHT_TEST_DATA "/../../examples/graphs/transformer.pw";

// Two layers whose batch is a symbol: 1 MiB of weights, and about 5 KiB for a sample.
constexpr const char* two_layers = R"(graph v1

origins {
  #1 = forward 0 in "up" from "model.cc":11
  #2 = forward 1 in "up" from "model.cc":12
  #3 = forward 0 in "down" from "model.cc":13
}

function "main"(%0, %1, %2) {
  %0 = input() {kind="argument", name="x"} : f32[B<=4096,256]
  %1 = input() {kind="state", name="up.weight"} : f32[256,512]
  %2 = input() {kind="state", name="down.weight"} : f32[512,256]
  %3 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f32[B<=4096,512] #1  // model.cc:11
  %4 = tanh(%3) : f32[B<=4096,512] #2  // model.cc:12
  %5 = dot_general(%4, %2) {lhs_contracting=[1], rhs_contracting=[0]} : f32[B<=4096,256] #3  // model.cc:13
  return %5
}
)";

// A shipped machine with other memories: of its host, and of what else there is.
std::string with_memory(const std::string& name, int64_t host, int64_t other) {
  Machine machine = parse_machine(run_tool({"machine", name}).output, name);
  for (DeviceSpec& spec : machine.devices) spec.memory_bytes = spec.host_memory ? host : other;
  return print_machine(machine);
}

// Only its host.
std::string host_alone(int64_t bytes) {
  Machine machine = parse_machine(with_memory("rtx4090", bytes, bytes));
  machine.devices.resize(1);
  machine.links.clear();
  return print_machine(machine);
}

class Fit : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) {
    write_file_atomically(folder_ / name, text);
    return folder_ / name;
  }
  // The one machine's entry.
  static Json ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "fit");
    arguments.push_back("--json");
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return run.exit_code == 0 ? Json::parse(run.output).at("machines").at(0) : Json();
  }
  // Whether `place` makes a plan whose peaks are within what there is.
  static bool place_fits(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "place");
    arguments.push_back("--json");
    ToolRun run = run_tool(arguments);
    if (run.exit_code != 0) {
      EXPECT_THAT(run.errors, HasSubstr("bytes of memory on")) << "another fault than memory";
      return false;
    }
    const Json document = Json::parse(run.output);
    for (const Json& device : document.at("memory"))
      if (device.at("needed_bytes").get<int64_t>() > device.at("capacity_bytes").get<int64_t>()) return false;
    return true;
  }
  static const Json* find_change(const Json& row, const std::string& kind) {
    for (const Json& change : row.at("changes"))
      if (change.at("kind") == kind) return &change;
    return nullptr;
  }

  TemporaryFolder folder_;
};

TEST_F(Fit, ARealGraphFitsEverywhereWithTheMemoryThatPlaceReports) {
  const std::vector<std::string> machines = {"h200", "a100", "rtx4090", "h100x8"};
  ToolRun run = run_tool({"fit", transformer, "--machines", "h200", "a100", "rtx4090", "h100x8", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  const Json document = Json::parse(run.output);
  ASSERT_EQ(document.at("machines").size(), machines.size());
  for (size_t i = 0; i < machines.size(); ++i) {
    const Json& row = document["machines"][i];
    EXPECT_EQ(row.at("machine"), machines[i]);
    EXPECT_EQ(row.at("verdict"), "fits");
    EXPECT_EQ(row.at("changes").size(), 0u);
    const Json placed = Json::parse(run_tool({"place", transformer, "--machine", machines[i], "--json"}).output);
    const Json &ours = row.at("plan").at("memory"), &theirs = placed.at("memory");
    ASSERT_EQ(ours.size(), theirs.size()) << machines[i];
    for (size_t d = 0; d < ours.size(); ++d)
      for (const char* field : {"device", "needed_bytes", "peak_bytes", "capacity_bytes"})
        EXPECT_EQ(ours[d][field], theirs[d][field]);
    EXPECT_EQ(row["plan"]["bytes_per_step"], placed.at("bytes_per_step"));
    double sum = 0;
    for (const Json& bound : row["plan"].at("bounds")) sum += bound.at("seconds").get<double>();
    EXPECT_NEAR(sum, row["plan"].at("step_seconds").get<double>(), 1e-12) << machines[i];
    EXPECT_GT(sum, 0);
  }
}

TEST_F(Fit, TheLargestBatchFitsAndOneMoreDoesNot) {
  const std::string model = file("model.pw", two_layers);
  struct Case {
    const char* name;
    std::string machine;
  };
  for (const Case& each :
       {Case{"host", host_alone(5'000'000)}, Case{"both", with_memory("rtx4090", 4'000'000, 3'000'000)}}) {
    const std::string machine = file("capped.machine", each.machine);
    const Json row = ask({model, "--machines", machine});
    EXPECT_EQ(row.at("verdict"), "does not fit") << each.name;
    const Json* change = find_change(row, "batch");
    ASSERT_TRUE(change) << row;
    const int64_t batch = std::stoll(change->at("value").get<std::string>());
    EXPECT_GT(batch, 100) << each.name;
    EXPECT_LT(batch, 4096) << each.name;
    auto fits = [&](int64_t size) {
      return place_fits({model, "--machine", machine, "--symbol", fmt::format("B={}", size)});
    };
    EXPECT_TRUE(fits(batch)) << each.name << " " << batch;
    EXPECT_FALSE(fits(batch + 1)) << each.name << " " << batch;
    const double step = change->at("plan").at("step_seconds");
    EXPECT_NEAR(change->at("seconds").get<double>(), step * 4096 / static_cast<double>(batch), 1e-12);
    // Asked about that batch, it fits.
    EXPECT_EQ(ask({model, "--machines", machine, "--symbol", fmt::format("B={}", batch)}).at("fits"), true);
  }
}

// A training step as it is captured: its batch is a number. `place` reads the step of the other batch from a file.
TEST_F(Fit, TheBatchOfACapturedGraphIsAskedToo) {
  const std::string machine = file("capped.machine", host_alone(33'000'000));
  const Json row = ask({lenet, "--machines", machine});
  EXPECT_EQ(row.at("verdict"), "does not fit");
  const Json* change = find_change(row, "batch");
  ASSERT_TRUE(change) << row;
  const int64_t batch = std::stoll(change->at("value").get<std::string>());
  EXPECT_GT(batch, 1);
  EXPECT_LT(batch, 64);
  const Graph graph = parse_graph(read_text_file(lenet), lenet);
  const BatchResizer resizer(graph, find_batch(graph));
  auto fits = [&](int64_t size) {
    return place_fits({file("step.pw", print_graph(resizer.resized(size))), "--machine", machine});
  };
  EXPECT_TRUE(fits(batch)) << batch;
  EXPECT_FALSE(fits(batch + 1)) << batch;
}

// `what-if --batch` varies the batch that `fit` asks about.
TEST_F(Fit, TheBatchIsTheOneOfWhatIf) {
  struct Case {
    const char *type, *fit, *what_if;
  };
  for (const Case& each :
       {Case{"f32[8,T<=16]", "x", "the first dimension of x"},
        Case{"f32[T<=16,batch<=32]", "batch", "batch, at most 32"}, Case{"f32[B<=16,T<=32]", "B", "B, at most 16"}}) {
    const std::string model =
        file("model.pw", fmt::format("graph v1\nfunction \"main\"(%0) {{\n  %0 = input() {{kind=\"argument\", "
                                     "name=\"x\"}} : {0}\n  %1 = exp(%0) : {0}\n  return %1\n}}\n",
                                     each.type));
    ToolRun fit = run_tool({"fit", model, "--machines", "rtx4090", "--json"});
    ASSERT_EQ(fit.exit_code, 0) << fit.errors;
    EXPECT_EQ(Json::parse(fit.output).at("batch").at("name"), each.fit) << each.type;
    ToolRun what_if = run_tool({"what-if", model, "--machine", "rtx4090", "--batch", "1:4", "--symbol", "T=16"});
    EXPECT_EQ(what_if.exit_code, 0) << what_if.errors;
    EXPECT_THAT(what_if.output, HasSubstr(each.what_if)) << each.type;
  }
}

// A byte less than a step wants: a value is computed twice.
TEST_F(Fit, WhatMemorySqueezesIsSaidAndWhichBatchIsAtEase) {
  const Json roomy = ask({lenet, "--machines", file("roomy.machine", host_alone(1'000'000'000))});
  EXPECT_EQ(roomy.at("verdict"), "fits");
  const auto wanted = roomy.at("plan").at("memory").at(0).at("needed_bytes").get<int64_t>();
  const std::string machine = file("capped.machine", host_alone(wanted - 1));
  const Json row = ask({lenet, "--machines", machine});
  EXPECT_EQ(row.at("verdict"), "fits squeezed");
  EXPECT_EQ(row.at("fits"), true);
  EXPECT_EQ(row.at("unlimited_step_seconds"), roomy.at("plan").at("step_seconds"));
  ASSERT_TRUE(find_change(row, "recompute")) << row;
  EXPECT_FALSE(row.at("plan").at("relief").empty());
  const Json& kept = *find_change(row, "recompute");
  EXPECT_EQ(kept.at("seconds"), row.at("plan").at("step_seconds"));
  EXPECT_THAT(kept.at("text").get<std::string>(), HasSubstr("if nothing is changed"));
  const Json* change = find_change(row, "batch");
  ASSERT_TRUE(change) << row;
  const int64_t batch = std::stoll(change->at("value").get<std::string>());
  const Graph graph = parse_graph(read_text_file(lenet), lenet);
  const BatchResizer resizer(graph, find_batch(graph));
  auto is_at_ease = [&](int64_t size) {
    ToolRun run =
        run_tool({"place", file("step.pw", print_graph(resizer.resized(size))), "--machine", machine, "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    const Json placed = Json::parse(run.output);
    return placed.at("relief").empty() &&
           placed.at("objective").get<std::string>().find("memories") == std::string::npos;
  };
  EXPECT_TRUE(is_at_ease(batch)) << batch;
  EXPECT_FALSE(is_at_ease(batch + 1)) << batch;
}

// In f64, whose products may be in f32. `place` reads that graph from a file.
TEST_F(Fit, ANarrowerPrecisionThatFitsIsOffered) {
  std::string text = two_layers;
  for (size_t at = 0; (at = text.find("f32", at)) != std::string::npos;) text.replace(at, 3, "f64");
  const std::string model = file("model.pw", text);
  PassContext context;
  context.options.symbols["B"] = 4096;
  const std::string narrow =
      print_graph(mixed_precision(specialise(parse_graph(text), context), DType::f64, DType::f32));
  const std::string narrow_file = file("narrow.pw", narrow);
  auto need = [&](const std::vector<std::string>& arguments) {
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.errors;
    return Json::parse(run.output).at("memory").at(0).at("needed_bytes").get<int64_t>();
  };
  const std::string large = file("large.machine", host_alone(1'000'000'000));
  const int64_t wide_need = need({"place", model, "--machine", large, "--symbol", "B=4096", "--json"});
  const int64_t narrow_need = need({"place", narrow_file, "--machine", large, "--json"});
  ASSERT_LT(narrow_need, wide_need);
  const std::string capped = file("capped.machine", host_alone(narrow_need));
  const Json row = ask({model, "--machines", capped});
  const Json* change = find_change(row, "precision");
  ASSERT_TRUE(change) << row;
  EXPECT_EQ(change->at("value"), "f32");
  EXPECT_EQ(change->at("plan").at("memory").at(0).at("needed_bytes"), narrow_need);
  EXPECT_TRUE(place_fits({narrow_file, "--machine", capped}));
  // A byte less, and it takes a smaller batch too.
  const Json less = ask({model, "--machines", file("less.machine", host_alone(narrow_need - 1))});
  EXPECT_EQ(find_change(less, "precision"), nullptr);
  const Json* both = find_change(less, "precision and batch");
  ASSERT_TRUE(both) << less;
  EXPECT_EQ(both->at("value"), "f32, 4095");
  const Json* batch = find_change(less, "batch");
  ASSERT_TRUE(batch) << less;
  EXPECT_LT(std::stoll(batch->at("value").get<std::string>()), 4095);
  double before = -1;
  for (const Json& each : less.at("changes")) {
    EXPECT_GE(each.at("loss").get<double>(), before) << "least loss first";
    before = each.at("loss").get<double>();
  }
}

// What f32 graphs could be narrowed to, nothing computes in yet: that is said.
TEST_F(Fit, APrecisionThatNothingComputesInIsNotOffered) {
  const Json row = ask({file("model.pw", two_layers), "--machines", file("capped.machine", host_alone(5'000'000))});
  EXPECT_EQ(find_change(row, "precision"), nullptr);
  EXPECT_THAT(row.at("unasked").dump(), HasSubstr("nothing narrower than f32"));
}

// Parameters alone are too much.
TEST_F(Fit, WhatNoBatchMakesFitSaysWhatHoldsMost) {
  const std::string model = file("model.pw", two_layers), machine = file("tiny.machine", host_alone(1'000'000));
  const Json row = ask({model, "--machines", machine});
  EXPECT_EQ(row.at("verdict"), "does not fit");
  EXPECT_EQ(find_change(row, "batch"), nullptr);
  EXPECT_THAT(row.at("unasked").dump(), HasSubstr("not even 1 fits"));
  ToolRun text = run_tool({"fit", model, "--machines", machine, "--symbol", "B=1"});
  EXPECT_EQ(text.exit_code, 0) << text.errors;
  EXPECT_THAT(text.output, AllOf(HasSubstr("does not fit"), HasSubstr("up.weight 524,288 B (model.cc:11)"),
                                 HasSubstr("down.weight 524,288 B (model.cc:13)")));
}

TEST_F(Fit, TextFitsAHundredColumnsAndSaysItAll) {
  const std::string model = file("model.pw", two_layers), machine = file("capped.machine", host_alone(5'000'000));
  ToolRun run = run_tool({"fit", model, "--machines", "h200," + machine});
  ASSERT_EQ(run.exit_code, 0) << run.errors;
  std::istringstream lines(run.output);
  for (std::string line; std::getline(lines, line);)
    EXPECT_TRUE(line.size() <= 100 || line.find(folder_.path()) != std::string::npos) << line;
  EXPECT_THAT(run.output, AllOf(HasSubstr("B=4096 (its bound)"), HasSubstr("h200: fits\n"), HasSubstr("does not fit"),
                                HasSubstr("too much"), HasSubstr("batch "), HasSubstr("a step takes")));
}

TEST_F(Fit, ExitCodeSaysThatOneDoesNotFitOnlyWhenAsked) {
  const std::string model = file("model.pw", two_layers), machine = file("tiny.machine", host_alone(1'000'000));
  EXPECT_EQ(run_tool({"fit", model, "--machines", "h200", "--must-fit"}).exit_code, 0);
  EXPECT_EQ(run_tool({"fit", model, "--machines", "h200", machine}).exit_code, 0);
  EXPECT_EQ(run_tool({"fit", model, "--machines", "h200", machine, "--must-fit"}).exit_code, 3);
}

TEST_F(Fit, WhatNoDeviceRunsIsSaidWithTheLine) {
  Machine machine = parse_machine(host_alone(1'000'000'000));
  std::erase_if(machine.devices[0].rates, [](const Rate& rate) { return rate.op_class == "contraction"; });
  const Json row = ask({file("model.pw", two_layers), "--machines", file("no.machine", print_machine(machine))});
  EXPECT_EQ(row.at("verdict"), "cannot run");
  EXPECT_EQ(row.at("fits"), false);
  EXPECT_THAT(row.at("cause").get<std::string>(), AllOf(HasSubstr("contraction"), HasSubstr("model.cc:11")));
}

TEST_F(Fit, BadInputIsOneLine) {
  const std::string model = file("model.pw", two_layers);
  auto refused = [](const std::vector<std::string>& arguments, int code) {
    ToolRun run = run_tool(arguments);
    EXPECT_EQ(run.exit_code, code) << run.output;
    EXPECT_EQ(run.output, "");
    EXPECT_EQ(std::count(run.errors.begin(), run.errors.end(), '\n'), 1) << run.errors;
    return run.errors;
  };
  EXPECT_THAT(refused({"fit", model, "--machines", "h200", "h201"}, 1),
              AllOf(HasSubstr("'h201'"), HasSubstr("h200"), HasSubstr("rtx4090")));
  EXPECT_THAT(refused({"fit", model, "--machines", file("bad.machine", "device cpu:0 \"x")}, 1),
              HasSubstr("bad.machine:1"));
  EXPECT_THAT(refused({"fit", file("bad.pw", "graph v1\nfunction"), "--machines", "h200"}, 1), HasSubstr("bad.pw:2"));
  EXPECT_THAT(refused({"fit", model}, 2), HasSubstr("--machines"));
  EXPECT_THAT(refused({"fit", "--machines", "h200"}, 2), HasSubstr("FILE.pw"));
  EXPECT_THAT(refused({"fit", model, "--machines", "h200", "--symbol", "C=3"}, 1),
              AllOf(HasSubstr("C"), HasSubstr("B")));
  EXPECT_THAT(refused({"fit", model, "--machines", "h200", "--symbol", "B=5000"}, 1), HasSubstr("4096"));
  EXPECT_THAT(refused({"fit", model, "--machines", "h200", "--batch", "C"}, 1), AllOf(HasSubstr("C"), HasSubstr("B")));
  EXPECT_THAT(refused({"fit", lenet, "--machines", "h200", "--batch", "B"}, 1),
              AllOf(HasSubstr("--batch B"), HasSubstr("input"), HasSubstr("target")));
  EXPECT_THAT(refused({"fit", lenet, "--machines", "h200", "--symbol", "B=4"}, 1), HasSubstr("numbers"));
}

}  // namespace
}  // namespace placewright::tools_test
