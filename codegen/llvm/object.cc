// From kernels to one ELF object: module, verification, TargetMachine; and the function that the library exports.
#include <mutex>

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>

#include "function_emitter.h"
#include "placewright/base/error.h"

namespace placewright {
namespace {

// Codegen passes that cost a quarter of the compile time and gain no speed on kernels that are unrolled already.
void set_llvm_options() {
  const char* options[] = {"placewright", "-disable-lsr", "-enable-misched=false", "-disable-post-ra",
                           "-combiner-store-merging=false"};
  llvm::cl::ParseCommandLineOptions(static_cast<int>(std::size(options)), options);
}

std::unique_ptr<llvm::TargetMachine> make_target_machine(const CpuTarget& target) {
  static std::once_flag initialised;  // LLVM's registries and options are global to the library
  std::call_once(initialised, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    set_llvm_options();
  });
  std::string problem;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(target.triple, problem);
  if (!found) throw Error("LLVM has no target " + target.triple + ": " + problem);
  llvm::TargetOptions options;
  options.FunctionSections = false;
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(target.triple, "x86-64", target.features, options, llvm::Reloc::PIC_,
                                 llvm::CodeModel::Small, llvm::CodeGenOptLevel::Less));
}

KernelImage emit_image(std::span<const LoopKernel> kernels, const CpuTarget& target, const EmitOptions& options) {
  llvm::LLVMContext context;
  llvm::Module module("placewright", context);
  std::unique_ptr<llvm::TargetMachine> machine = make_target_machine(target);
  module.setTargetTriple(target.triple);
  module.setDataLayout(machine->createDataLayout());
  KernelImage image{"elf-x86-64", "x86-64:" + target.features, kernel_abi_version, {}, {}};
  for (const LoopKernel& loops : kernels) {
    KernelEntry entry{loops.kernel.name, {}, loops.workspace_bytes};
    for (const LoopFunction& function : loops.functions) {
      FunctionEmitter(module, loops, target, options).emit(function);
      entry.phases.push_back({function.symbol, function.extent, function.grain});
    }
    image.entries.push_back(std::move(entry));
  }
  if (options.dump_ir) module.print(llvm::errs(), nullptr);
#ifndef NDEBUG
  std::string problem;
  llvm::raw_string_ostream stream(problem);
  if (llvm::verifyModule(module, &stream)) throw std::logic_error("emitted IR is invalid: " + stream.str());
#endif
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream out(object);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, out, nullptr, llvm::CodeGenFileType::ObjectFile, /*DisableVerify=*/true))
    throw Error("LLVM cannot write objects for " + target.triple);
  passes.run(module);
  image.bytes.assign(object.begin(), object.end());
  return image;
}

}  // namespace
}  // namespace placewright

extern "C" __attribute__((visibility("default"))) bool placewright_emit_cpu_image(
    const placewright::LoopKernel* kernels, size_t count, const placewright::CpuTarget* target,
    const placewright::EmitOptions* options, placewright::KernelImage* image, std::string* error) {
  try {
    *image = placewright::emit_image({kernels, count}, *target, *options);
    return true;
  } catch (const std::exception& exception) {
    *error = exception.what();
    return false;
  }
}
