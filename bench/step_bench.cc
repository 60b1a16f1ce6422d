// What a small training step costs, and how much of it is not the kernels': the public call, beside the same compiled
// entries called one behind the other on buffers of their own. Results are compared first.
//
//   step_bench [PROGRAM ...]       a line of JSON a program: a b c
//   step_bench --placed PROGRAM    its graph after all passes, as kernel_bench reads it
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/lower.h"
#include "placewright/ir/op_table.h"
#include "placewright/ir/program.h"
#include "placewright/placewright.h"
#include "placewright/runtime/host_code/host_code.h"

namespace placewright {
namespace {

// Of this thread on a processor: what else runs on the machine does not count.
double seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The smallest time of a call over rounds of `calls` calls.
double microseconds(const std::function<void()>& call, int calls) {
  double best = 1e30;
  for (int round = 0; round < 25; ++round) {
    double begin = seconds();
    for (int i = 0; i < calls; ++i) call();
    best = std::min(best, (seconds() - begin) / calls);
  }
  return best * 1e6;
}

// The same numbers at every run, in [0, 1).
HostTensor numbers(const Sizes& sizes) {
  HostTensor tensor(DType::f32, sizes);
  uint32_t state = 1;
  for (float& value : tensor.data<float>()) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) / 16777216.0f;
  }
  return tensor;
}

struct StepProgram {
  nn::Sequential model;
  Tensor x, y;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<TrainingStep> step;

  StepProgram(nn::Sequential made, HostTensor input, HostTensor target, bool regression)
      : model(std::move(made)), x(std::move(input)), y(std::move(target)) {
    auto parameters = model.named_parameters();
    if (regression) {
      optimizer = std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = 0.01});
      step = std::make_unique<TrainingStep>(compile_training_step(model, nn::MSELoss(), *optimizer));
    } else {
      optimizer = std::make_unique<optim::Adam>(parameters);
      step = std::make_unique<TrainingStep>(compile_training_step(model, nn::CrossEntropyLoss(), *optimizer));
    }
  }
};

std::unique_ptr<StepProgram> make_step(const std::string& name) {
  using namespace nn;
  if (name == "a")
    return std::make_unique<StepProgram>(Sequential(Linear(10, 2)), numbers({100, 10}), numbers({100, 2}), true);
  if (name == "b")
    return std::make_unique<StepProgram>(Sequential(Linear(10, 1)), numbers({32, 10}), numbers({32, 1}), true);
  if (name != "c") throw Error(fmt::format("there is no program '{}', expected a, b or c", name));
  HostTensor labels(DType::i64, {16});
  for (int64_t i = 0; i < 16; ++i) labels.set_number(i, static_cast<double>(i * 7 % 10));
  return std::make_unique<StepProgram>(
      Sequential(Conv2d(3, 16, 3, {.padding = 1}), ReLU(), MaxPool2d(2), Flatten(), Linear(784, 10)),
      numbers({16, 3, 14, 14}), std::move(labels), false);
}

// A program's launches as plain calls. States begin as the model's parameters, and as zeros.
class DirectCalls {
 public:
  DirectCalls(const Graph& placed, const StepProgram& source) {
    CompileProgramOptions options;
    options.target = host_cpu_target();
    compiled_ = compile_program(placed, options);
    const Program& program = compiled_.program;
    for (const ProgramBuffer& buffer : program.buffers) memory_.push_back(initial(buffer, source));
    for (const Instruction& instruction : program.blocks[program.step].instructions) {
      const Launch* launch = std::get_if<Launch>(&instruction);
      PW_CHECK(launch, "a small step on one device only launches");
      add(*launch);
    }
    for (const StateUpdate& update : program.updates)
      PW_CHECK(memory_of(program, update.state) == memory_of(program, update.value), "updated in place");
    for (Call& call : calls_) call.buffers = table_.data() + call.first;
  }

  void run() {
    for (const Call& call : calls_) call.function(call.buffers, call.scalars, 0, call.extent, &status_);
  }
  double loss() const { return read(compiled_.program.results[0]); }
  size_t phases() const { return calls_.size(); }
  size_t launches() const { return compiled_.program.blocks[compiled_.program.step].instructions.size(); }

 private:
  using Function = void (*)(void* const*, const int64_t*, int64_t, int64_t, uint64_t*);
  struct Call {
    Function function;
    size_t first;  // in table_
    void* const* buffers;
    const int64_t* scalars;
    int64_t extent;
  };
  // Room for one buffer, at a multiple of 64 bytes, as in an arena.
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  using Memory = std::vector<Line>;

  Memory& memory(int buffer) { return memory_[static_cast<size_t>(memory_of(compiled_.program, buffer))]; }
  const Memory& memory(int buffer) const { return memory_[static_cast<size_t>(memory_of(compiled_.program, buffer))]; }

  static Memory room(int64_t bytes) { return Memory(static_cast<size_t>(bytes) / sizeof(Line) + 1); }

  static void put(Memory& memory, const HostTensor& value) {
    std::copy_n(reinterpret_cast<const std::byte*>(value.raw()), value.bytes(), memory[0].bytes);
  }

  Memory initial(const ProgramBuffer& buffer, const StepProgram& source) const {
    Memory memory = room(buffer.bytes);
    if (buffer.name == "input") put(memory, source.x.value());
    if (buffer.name == "target") put(memory, source.y.value());
    for (const nn::NamedParameter& parameter : source.model.named_parameters())
      if (parameter.name == buffer.name) put(memory, parameter.tensor.value());
    if (auto found = compiled_.constants.find(buffer.name); found != compiled_.constants.end())
      put(memory, found->second);
    for (const optim::Group& group : source.optimizer->groups())
      for (const optim::Hyper& hyper : group.hypers)
        if (hyper.name == buffer.name && buffer.kind == BufferKind::argument)
          put(memory, HostTensor::scalar(hyper.value));
    return memory;
  }

  void add(const Launch& launch) {
    const KernelImage& image = compiled_.images[static_cast<size_t>(launch.image)];
    std::shared_ptr<const HostCode>& code = code_[launch.image];
    if (!code) code = HostCode::load(image.bytes, launch.entry);
    auto entry = std::find_if(image.entries.begin(), image.entries.end(),
                              [&](const KernelEntry& each) { return each.name == launch.entry; });
    size_t first = table_.size();
    for (int buffer : launch.buffers) table_.push_back(memory(buffer).data());
    for (int64_t bytes : entry->workspace_bytes) table_.push_back(workspaces_.emplace_back(room(bytes)).data());
    for (const KernelPhase& phase : entry->phases)
      calls_.push_back({reinterpret_cast<Function>(code->try_symbol(phase.symbol)), first, nullptr,
                        launch.scalars.data(), phase.extent});
  }

  double read(int buffer) const {
    HostTensor value(compiled_.program.buffers[static_cast<size_t>(buffer)].dtype, {});
    std::copy_n(memory(buffer)[0].bytes, value.bytes(), reinterpret_cast<std::byte*>(value.raw()));
    return value.number(0);
  }

  CompiledProgram compiled_;
  std::vector<Memory> memory_, workspaces_;
  std::map<int, std::shared_ptr<const HostCode>> code_;  // of each image
  std::vector<void*> table_;
  std::vector<Call> calls_;
  uint64_t status_ = 0;
};

size_t count_stages(const Graph& placed) {
  size_t stages = 0;
  for (const Op& op : placed.main().ops)
    if (op.is("fused") || can_lower(*op.entry)) stages += lower_launch(placed, placed.main(), op).stages.size();
  return stages;
}

void measure(const std::string& name) {
  std::unique_ptr<StepProgram> program = make_step(name);
  // What the launches are is known from an equal program; this one's states still are as they begin.
  std::unique_ptr<StepProgram> twin = make_step(name);
  for (size_t i = 0; i < program->model.named_parameters().size(); ++i)
    nn::set_value(twin->model.named_parameters()[i].tensor, program->model.named_parameters()[i].tensor.value());
  double first = (*twin->step)(twin->x, twin->y).item();
  DirectCalls direct(twin->step->last().placed(), *program);
  double difference = 0;
  for (int i = 0; i < 10; ++i) {
    direct.run();
    double ours = (*program->step)(program->x, program->y).item();
    difference = std::max(difference, std::abs(ours - direct.loss()));
    if (i == 0) difference = std::max(difference, std::abs(ours - first));
  }
  if (difference != 0) throw Error(fmt::format("program {}: losses differ by {:.1e}", name, difference));

  Tensor loss;
  int calls = name == "c" ? 100 : 5000;
  double call = microseconds([&] { loss = (*program->step)(program->x, program->y); }, calls);
  double entries = microseconds([&] { direct.run(); }, calls);
  fmt::print(
      "{{\"program\": \"{}\", \"call_us\": {:.3f}, \"entries_us\": {:.3f}, \"executor_us\": {:.3f}, "
      "\"launches\": {}, \"phases\": {}, \"stages\": {}}}\n",
      name, call, entries, call - entries, direct.launches(), direct.phases(),
      count_stages(twin->step->last().placed()));
}

}  // namespace
}  // namespace placewright

int main(int argc, char** argv) {
  using namespace placewright;
  try {
    SessionOptions session;
    session.threads = 1;
    session.use_cache = false;
    configure(session);
    std::vector<std::string> names(argv + 1, argv + argc);
    if (names.size() == 2 && names[0] == "--placed") {
      std::unique_ptr<StepProgram> program = make_step(names[1]);
      (*program->step)(program->x, program->y);
      fmt::print("{}", print_graph(program->step->last().placed()));
      return 0;
    }
    if (names.empty()) names = {"a", "b", "c"};
    for (const std::string& name : names) measure(name);
  } catch (const Error& error) {
    std::fprintf(stderr, "step_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
