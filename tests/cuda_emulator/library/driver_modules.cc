// Modules, functions and launches.
#include "driver.h"

namespace cuda_emulator {
namespace {

constexpr int64_t most_static = 48 << 10;   // of shared memory that a kernel declares
constexpr int64_t most_shared = 163 << 10;  // with what a launch asks for: an A100's

int64_t static_shared(const Kernel& kernel) {
  int64_t bytes = kernel.shared_bytes;
  for (const auto& [begin, gap] : kernel.shared_gaps) bytes -= gap;
  return bytes;
}

}  // namespace

int check_launch(const KernelNodeParameters& wanted, LaunchFacts* facts) {
  const auto& [function, gx, gy, gz, tx, ty, tz, shared_bytes, parameters, extra, library_kernel, context] = wanted;
  uint64_t threads = uint64_t{tx} * ty * tz;
  if (!function || !parameters || extra || library_kernel) return invalid_value;
  const Kernel& kernel = *function->kernel;
  if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || threads == 0 || threads > 1024 || tz > 64)
    return invalid_value;
  if (kernel.most_threads > 0 && threads > static_cast<uint64_t>(kernel.most_threads)) return invalid_value;
  if (shared_bytes > function->most_dynamic) return invalid_value;
  *facts = {&function->module->module, &kernel, {gx, gy, gz}, {tx, ty, tz}, shared_bytes, {}};
  facts->parameters.resize(static_cast<size_t>(kernel.parameter_bytes));
  for (size_t i = 0; i < kernel.parameters.size(); ++i)
    std::memcpy(facts->parameters.data() + kernel.parameters[i].offset, parameters[i],
                static_cast<size_t>(kernel.parameters[i].bytes));
  return 0;
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

EXPORT int cuModuleLoadDataEx(LoadedModule** module, const void* image, unsigned count, int* options, void** values) {
  return guarded(current, [&] {
    if (int result = refuse_unsafe("cuModuleLoadDataEx")) return result;
    if (auto result = static_cast<int>(process().options.get("load", 0))) return result;
    auto made = std::make_unique<LoadedModule>();
    made->context = current;
    auto place = [](const GlobalVariable& variable, void* context) {
      Memory& memory = static_cast<Context*>(context)->memory;
      uint64_t address = memory.allocate(std::max<size_t>(variable.bytes.size(), 1));
      if (!address) throw Fault(out_of_memory, "no memory for the variable " + variable.name);
      if (!variable.bytes.empty())
        std::memcpy(memory.find(address, variable.bytes.size(), nullptr), variable.bytes.data(), variable.bytes.size());
      return address;
    };
    try {
      made->module = parse_ptx(static_cast<const char*>(image), place, current);
      if (made->module.capability > process().options.get("capability", 80))
        throw Fault(209, "the PTX is for a later architecture");
      for (const auto& [name, kernel] : made->module.kernels)
        if (static_shared(kernel) > most_static)
          throw Fault(invalid_ptx, name + " uses too much shared data: " + std::to_string(static_shared(kernel)) +
                                       " bytes, " + std::to_string(most_static) + " at most");
    } catch (const Fault& fault) {
      for (unsigned i = 0; i < count; ++i)
        if (options[i] == 5) {  // the log of errors; its size is the next option
          std::string text = fault.what();
          size_t size = i + 1 < count ? reinterpret_cast<size_t>(values[i + 1]) : 0;
          if (size == 0) continue;
          text.resize(std::min(text.size(), size - 1));
          std::memcpy(values[i], text.c_str(), text.size() + 1);
        }
      return fault.result;
    }
    *module = made.get();
    current->modules.push_back(std::move(made));
    return 0;
  });
}

EXPORT int cuModuleUnload(LoadedModule* module) {
  std::lock_guard lock(process().mutex);
  if (int result = refuse_unsafe("cuModuleUnload")) return result;
  Context& context = *module->context;
  if (!context.failed) run_everything(context);
  for (const GlobalVariable& variable : module->module.variables) context.memory.free(variable.address);
  std::erase_if(context.functions, [&](const auto& function) { return function->module == module; });
  std::erase_if(context.modules, [&](const auto& loaded) { return loaded.get() == module; });
  return 0;
}

EXPORT int cuModuleGetFunction(Function** function, LoadedModule* module, const char* symbol) {
  return guarded(module->context, [&] {
    auto found = module->module.kernels.find(symbol);
    if (found == module->module.kernels.end()) return not_found;
    Context& context = *module->context;
    const int64_t without_asking = most_static - static_shared(found->second);
    context.functions.push_back(std::make_unique<Function>(Function{module, &found->second, without_asking}));
    *function = context.functions.back().get();
    return 0;
  });
}

EXPORT int cuFuncSetAttribute(Function* function, int attribute, int value) {
  if (attribute != 8 || value < 0 || value + static_shared(*function->kernel) > most_shared) return invalid_value;
  function->most_dynamic = value;
  return 0;
}

EXPORT int cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned tx, unsigned ty,
                          unsigned tz, unsigned shared_bytes, Stream* stream, void** parameters, void** extra) {
  return guarded(current, [&] {
    if (stream->context != current || function->module->context != current) return invalid_handle;
    if (!stream->capture && ++process().launches == process().options.get("lose", 0)) {
      current->failed = 719;
      return 0;  // as real ones: said later
    }
    GraphNode node;
    int result = check_launch({function, gx, gy, gz, tx, ty, tz, shared_bytes, parameters, extra, nullptr, nullptr},
                              &node.launch);
    return result != 0 ? result : give(*stream, std::move(node));
  });
}
