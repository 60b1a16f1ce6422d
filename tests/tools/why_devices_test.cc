// The subcommand why where several accelerators work at once, and where memories limit a plan: every change of every
// kind that it names, of every op and for every device, is applied, and `place` asked again; so is 99% of it.
#include <map>
#include <regex>

#include "placewright/passes/graph_versions.h"
#include "placewright/passes/plan_file.h"
#include "tools/why_answers.h"

namespace placewright::tools_test {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

// Two branches that nothing but their ends connects. On the left a pin, on the right a product in f64.
std::string branches(const std::string& pin = "", const std::string& right = "f32") {
  std::string text = R"(graph v1

origins {
  #1 = forward 0 in "left" from "net.cc":20
  #2 = forward 1 in "left" from "net.cc":21
  #3 = forward 0 in "right" from "net.cc":30
  #4 = forward 1 in "right" from "net.cc":31
  #5 = forward 2 in "left" from "net.cc":22
  #6 = forward 2 in "right" from "net.cc":32
}

function "main"(%0, %1, %2, %3, %4, %5) {
  %0 = input() {kind="argument", name="x"} : f32[4096,1024]
  %1 = input() {kind="argument", name="y"} : RIGHT[4096,1024]
  %2 = input() {kind="state", name="left.weight"} : f32[1024,1024]
  %3 = input() {kind="state", name="right.weight"} : RIGHT[1024,1024]
  %4 = input() {kind="state", name="left.head"} : f32[1024,16]
  %5 = input() {kind="state", name="right.head"} : RIGHT[1024,16]
  %6 = dot_general(%0, %2) {lhs_contracting=[1], rhs_contracting=[0]} : f32[4096,1024]PIN #1
  %7 = tanh(%6) : f32[4096,1024] #2
  %8 = dot_general(%1, %3) {lhs_contracting=[1], rhs_contracting=[0]} : RIGHT[4096,1024] #3
  %9 = tanh(%8) : RIGHT[4096,1024] #4
  %10 = dot_general(%7, %4) {lhs_contracting=[1], rhs_contracting=[0]} : f32[4096,16] #5
  %11 = dot_general(%9, %5) {lhs_contracting=[1], rhs_contracting=[0]} : RIGHT[4096,16] #6
  return %10, %11
}
)";
  text = std::regex_replace(text, std::regex("RIGHT"), right);
  return std::regex_replace(text, std::regex("PIN"), pin);
}

const std::vector<std::string> keys = {"left/forward#0:dot_general", "left/forward#1:tanh",
                                       "right/forward#0:dot_general", "right/forward#2:dot_general"};

class WhyDevices : public WhyAnswers {
 protected:
  // The two of the shared machine and a third; the two accelerators may differ, and have `memory` bytes each.
  void use_three(double rate, double second, double link, int64_t memory = int64_t{16} << 30) {
    machine_.devices.resize(2);
    machine_.links.clear();
    machine_.devices.push_back(machine_.devices[1]);
    for (DeviceSpec& spec : machine_.devices)
      if (!spec.host_memory) spec.memory_bytes = memory;
    for (Rate& each : machine_.devices[1].rates) each.per_second *= rate;
    for (Rate& each : machine_.devices[2].rates) each.per_second *= rate * second;
    machine_.devices[2].id = {"cuda", 1};
    for (const DeviceSpec& from : machine_.devices)
      for (const DeviceSpec& to : machine_.devices)
        if (from.id != to.id) machine_.links.push_back({from.id, to.id, 1e-5, link});
  }

  std::string file(const std::string& name, const std::string& text) {
    write_file_atomically(folder_ / name, text);
    return folder_ / name;
  }

  const DeviceSpec& spec(const std::string& name) const { return machine_.find(parse_device(name)); }
  bool are_alike(const DeviceId& a, const std::string& b) const {
    DeviceSpec one = machine_.find(a), other = spec(b);
    one.id = other.id = {};
    return one == other;
  }

  // Where `place` puts the op; empty if there is no plan.
  std::string place(const std::string& model, const Machine& machine, const std::string& key) {
    ToolRun run = run_tool({"place", model, "--machine", write(machine), "--format", "lock"});
    return run.exit_code == 0 ? device_in(run.output, key) : "";
  }

  Machine changed(const std::string& kind, const std::string& here, const std::vector<std::string>& there,
                  double number) const {
    Machine machine = machine_;
    auto is_there = [&](const DeviceId& id) {
      return std::find(there.begin(), there.end(), id.to_string()) != there.end();
    };
    for (Link& link : machine.links)
      if (kind == "link" &&
          ((is_there(link.to) && are_alike(link.from, here)) || (is_there(link.from) && are_alike(link.to, here))))
        link.bytes_per_second = std::max(link.bytes_per_second, number * 1e9);
    for (DeviceSpec& device : machine.devices) {
      if (kind == "memory" && is_there(device.id)) device.memory_bytes = static_cast<int64_t>(number);
      if (kind == "speed" && is_there(device.id)) scale_device(machine, device.id.to_string(), number);
    }
    return machine;
  }

  // The model with what the change takes away or adds in the program.
  std::string edited(const std::string& text, const std::string& key, const Json& change, const std::string& dtype) {
    if (change.at("kind") == "pin") {
      std::string site = change.at("object");
      site.replace(site.rfind(':'), 1, "\":");
      return file("changed.pw", std::regex_replace(text, std::regex(" pin\\([^)]* from \"" + site + "\\)"), ""));
    }
    Graph graph = parse_graph(text);
    const std::vector<std::string> names = op_keys(graph);
    const auto op = static_cast<int32_t>(std::find(names.begin(), names.end(), key) - names.begin());
    std::optional<CastVersion> version = with_op_in(graph, op, dtype == "f64" ? DType::f64 : DType::f32);
    EXPECT_TRUE(version) << key << " in " << dtype;
    return file("changed.pw", version ? print_graph(version->graph) : text);
  }

  void expect_number(const std::string& model, const std::string& key, const std::string& here,
                     const std::vector<std::string>& there, const Json& change) {
    const std::string kind = change.at("kind");
    const double needed = change.at("needed"), now = change.at("now");
    EXPECT_GT(needed, now);
    EXPECT_THAT(there, ::testing::Contains(place(model, changed(kind, here, there, needed), key)));
    EXPECT_THAT(there, ::testing::Not(::testing::Contains(
                           place(model, changed(kind, here, there, std::max(0.99 * needed, now)), key))));
  }

  // Counts the answers of each kind that were found true.
  std::map<std::string, int> expect_all_true(const std::string& text, const std::vector<std::string>& ops = keys) {
    std::map<std::string, int> found;
    const std::string model = file("model.pw", text), start = folder_ / "start.machine";
    write_file_atomically(start, print_machine(machine_));
    for (const std::string& key : ops) {
      const Json report = why(model, key, start);
      const std::string here = report.at("device");
      objective_ = report.at("objective");
      for (const Json& row : report.at("elsewhere")) {
        const std::vector<std::string> there = row.at("devices");
        EXPECT_THAT(there, ::testing::Not(::testing::Contains(here)));
        for (const Json& change : row.at("changes")) {
          SCOPED_TRACE(key + " to " + there.front() + ": " + change.dump());
          if (!change.at("flips").get<bool>()) {
            EXPECT_THAT(change.at("text").get<std::string>(),
                        ::testing::AnyOf(HasSubstr("none: "), HasSubstr("not answered")));
            continue;
          }
          const std::string kind = change.at("kind");
          ++found[kind];
          if (!change.at("needed").is_null()) {
            expect_number(model, key, here, there, change);
            continue;
          }
          const std::string object = change.at("object");
          for (size_t begin = 0; begin < object.size();
               begin = std::min(object.find(',', begin), object.size() - 1) + 1) {
            const std::string other = edited(text, key, change, object.substr(begin, 3));
            EXPECT_THAT(there, ::testing::Contains(place(other, machine_, key)));
          }
        }
      }
    }
    return found;
  }

  std::string objective_;
};

TEST_F(WhyDevices, AnswersAreTrueWhereEqualAcceleratorsWorkAtOnce) {
  use_three(0.1, 1, 5e10);
  std::map<std::string, int> found = expect_all_true(branches());
  EXPECT_THAT(objective_, HasSubstr("by simulation"));
  EXPECT_GT(found["speed"], 0);
}

TEST_F(WhyDevices, AnswersAreTrueWhereDifferentAcceleratorsWorkAtOnce) {
  use_three(0.1, 0.7, 5e10);
  std::map<std::string, int> found = expect_all_true(branches());
  EXPECT_GT(found["speed"], 0);
}

TEST_F(WhyDevices, AnswersAreTrueWhereLinksAreTooSlow) {
  use_three(1, 0.7, 1e8);
  std::map<std::string, int> found = expect_all_true(branches());
  EXPECT_GT(found["link"], 0);
}

TEST_F(WhyDevices, AnswersAreTrueWhereMemoriesLimitThePlan) {
  for (double second : {1.0, 0.7}) {
    use_three(1, second, 5e10, 30'000'000);
    // One op: each plan within memories takes its time, and a search makes many.
    std::map<std::string, int> found = expect_all_true(branches(), {"left/forward#0:dot_general"});
    EXPECT_GT(found["memory"], 0) << second;
  }
}

TEST_F(WhyDevices, AnswersAreTrueOfPinsAndDtypes) {
  use_three(0.1, 1, 5e10);
  std::map<std::string, int> found = expect_all_true(branches(" pin(cpu:0 from \"train.cc\":31)", "f64"));
  EXPECT_GT(found["pin"], 0);
  EXPECT_GT(found["cast"], 0);
}

}  // namespace
}  // namespace placewright::tools_test
