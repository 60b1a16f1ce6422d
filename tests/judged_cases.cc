// What plans are judged on: programs and machines.
#include "judged_plans.h"
#include "placewright/base/file.h"
#include "placewright/placewright.h"
#include "transformer_graph.h"

namespace placewright::testing {
namespace {

using namespace nn;

Graph transformer_of_twelve_blocks() {
  synthetic::Transformer model(1000, 256, 4, 12);
  optim::Adam optimizer(model.named_parameters());
  TrainingStep step = compile_training_step(model, CrossEntropyLoss(), optimizer);
  return step.capture(randint(0, 1000, {8, 64}), randint(0, 1000, {512}));
}

Graph example(const std::string& name) {
  return parse_graph(read_text_file(std::string(PLACEWRIGHT_EXAMPLE_GRAPHS) + "/" + name + ".pw"));
}

// One rate for all classes, as the simulated clock has it.
DeviceSpec device(const DeviceId& id, double rate, double bandwidth, double launch_seconds) {
  DeviceSpec spec;
  spec.id = id;
  spec.name = id.to_string();
  spec.target = "none";
  spec.host_memory = id.kind == "cpu";
  spec.memory_bytes = int64_t{8} << 30;
  spec.memory_bandwidth = bandwidth;
  spec.launch_seconds = launch_seconds;
  for (const DTypeInfo& entry : dtype_table())
    if (entry.supported)
      for (const char* op_class :
           {"contraction", "convolution", "elementwise", "reduction", "movement", "gather", "scatter"})
        spec.rates.push_back({op_class, entry.dtype, rate});
  return spec;
}

Machine machine_of(const std::vector<DeviceSpec>& accelerators) {
  Machine machine;
  machine.devices.push_back(device({"cpu", 0}, 50e9, 20e9, 50e-9));
  for (const DeviceSpec& spec : accelerators) {
    for (const DeviceSpec& other : machine.devices)
      for (auto [from, to] : {std::pair(other.id, spec.id), std::pair(spec.id, other.id)})
        machine.links.push_back({from, to, 6e-6, from.kind == to.kind ? 50e9 : 12e9});
    machine.devices.push_back(spec);
  }
  return machine;
}

// It lacks kernels for sums of f32.
DeviceSpec without_sums(DeviceSpec spec) {
  std::erase_if(spec.rates, [](const Rate& rate) { return rate.op_class == "reduction" && rate.dtype == DType::f32; });
  return spec;
}

}  // namespace

std::vector<JudgedCase> judged_cases(bool all) {
  const DeviceSpec small = device({"sim", 0}, 400e9, 100e9, 4e-6), large = device({"sim", 1}, 10e12, 800e9, 5e-6);
  DeviceSpec only = large;
  only.id = {"sim", 0};
  std::vector<std::pair<std::string, Graph>> programs{
      {"c", example("cnn")}, {"d", example("mlp")}, {"e", example("lenet")}};
  if (all) programs.emplace_back("transformer", transformer_of_twelve_blocks());
  if (all) programs.emplace_back("mixture", example("mixture"));
  std::vector<JudgedCase> cases;
  for (const auto& [name, graph] : programs) {
    auto lacking = [&, &program = name](const DeviceSpec& spec) {
      return program == "mixture" ? without_sums(spec) : spec;
    };
    cases.push_back({name, "small", graph, machine_of({lacking(small)})});
    cases.push_back({name, "large", graph, machine_of({lacking(only)})});
    cases.push_back({name, "both", graph, machine_of({small, lacking(large)})});
  }
  return cases;
}

}  // namespace placewright::testing
