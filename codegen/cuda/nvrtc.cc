#include "placewright/codegen/cuda/nvrtc.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>

#include <fmt/core.h>

#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/base/shared_library.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;

constexpr const char* override_variable = "PLACEWRIGHT_LIBNVRTC";

std::optional<fs::path> variable(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? std::optional<fs::path>(value) : std::nullopt;
}

// Folders below `folder` that are named `begin`..., in order.
std::vector<fs::path> folders_in(const fs::path& folder, const std::string& begin = "") {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored))
    if (entry.is_directory(ignored) && entry.path().filename().string().starts_with(begin))
      found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// NVIDIA's wheels put libraries into site-packages/nvidia/<package>/lib.
void add_wheels(const fs::path& root, std::vector<fs::path>& folders) {
  for (const char* library : {"lib", "local/lib"})
    for (const fs::path& python : folders_in(root / library, "python3"))
      for (const char* packages : {"site-packages", "dist-packages"})
        for (const fs::path& wheel : folders_in(python / packages / "nvidia")) folders.push_back(wheel / "lib");
}

std::vector<fs::path> library_folders() {
  std::vector<fs::path> folders;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"})
    if (std::optional<fs::path> toolkit = variable(name)) folders.push_back(*toolkit / "lib64");
  folders.emplace_back("/usr/local/cuda/lib64");
  std::optional<fs::path> data = variable("XDG_DATA_HOME"), home = variable("HOME");
  if (!data && home) data = *home / ".local/share";
  if (data)
    for (const fs::path& wheel : folders_in(*data / "placewright/cuda/nvidia")) folders.push_back(wheel / "lib");
  if (std::optional<fs::path> environment = variable("VIRTUAL_ENV")) add_wheels(*environment, folders);
  if (home) add_wheels(*home / ".local", folders);
  add_wheels("/usr", folders);
  return folders;
}

// In order: what the driver takes wherever it is, then what is too late for it. Before folders, the loader: a toolkit
// on its path is what the user chose.
std::vector<SharedLibrary::Search> searches(int latest) {
  std::vector<std::string> fitting, later;
  for (int major : {13, 12})
    (latest > 0 && major > latest ? later : fitting).push_back(fmt::format("libnvrtc.so.{}", major));
  if (variable(override_variable)) {
    fitting.insert(fitting.end(), later.begin(), later.end());
    later.clear();
  }
  std::vector<SharedLibrary::Search> all;
  for (const std::vector<std::string>& names : {fitting, later})
    if (!names.empty()) all.push_back({names, library_folders(), override_variable, true, true});
  return all;
}

std::optional<SharedLibrary> open_library(int latest, std::vector<std::string>& reasons) {
  for (const SharedLibrary::Search& search : searches(latest))
    if (std::optional<SharedLibrary> found = SharedLibrary::try_open(search, &reasons)) return found;
  return std::nullopt;
}

using Program = struct OpaqueProgram*;

class LoadedNvrtc final : public Nvrtc {
 public:
  explicit LoadedNvrtc(SharedLibrary library)
      : library_(std::move(library)),
        error_string_(library_.function<const char*(int)>("nvrtcGetErrorString")),
        version_(library_.function<int(int*, int*)>("nvrtcVersion")),
        architecture_count_(library_.function<int(int*)>("nvrtcGetNumSupportedArchs")),
        architectures_(library_.function<int(int*)>("nvrtcGetSupportedArchs")),
        create_(library_.function<Create>("nvrtcCreateProgram")),
        destroy_(library_.function<int(Program*)>("nvrtcDestroyProgram")),
        compile_(library_.function<int(Program, int, const char* const*)>("nvrtcCompileProgram")),
        log_(part("nvrtcGetProgramLogSize", "nvrtcGetProgramLog")),
        ptx_(part("nvrtcGetPTXSize", "nvrtcGetPTX")),
        cubin_(part("nvrtcGetCUBINSize", "nvrtcGetCUBIN")) {}

  const std::string& path() const override { return library_.path(); }

  std::string version() const override {
    int major = 0, minor = 0;
    check(version_(&major, &minor), "nvrtcVersion");
    return fmt::format("{}.{}", major, minor);
  }

  std::vector<int> architectures() const override {
    int count = 0;
    check(architecture_count_(&count), "nvrtcGetNumSupportedArchs");
    std::vector<int> found(static_cast<size_t>(count));
    check(architectures_(found.data()), "nvrtcGetSupportedArchs");
    return found;
  }

  Compiled compile(const std::string& text, const std::string& wanted) const override {
    const std::string target = known_target(wanted);
    Program program = nullptr;
    check(create_(&program, text.c_str(), "kernels.cu", 0, nullptr, nullptr), "nvrtcCreateProgram");
    struct Destroy {
      const LoadedNvrtc& nvrtc;
      Program& program;
      ~Destroy() { nvrtc.destroy_(&program); }
    } destroy{*this, program};
    std::vector<std::string> options = nvrtc_options(target);
    std::vector<const char*> pointers;
    for (const std::string& option : options) pointers.push_back(option.c_str());
    int result = compile_(program, static_cast<int>(pointers.size()), pointers.data());
    Compiled compiled;
    compiled.target = target;
    compiled.log = read<std::string>(log_, program);
    while (!compiled.log.empty() && (compiled.log.back() == '\0' || compiled.log.back() == '\n'))
      compiled.log.pop_back();
    if (result != 0)
      throw Error(fmt::format("NVRTC {} ({}) does not compile a kernel for {}: {}\n{}", version(), path(), target,
                              error_string_(result), compiled.log));
    bool is_ptx = target.starts_with("compute_");
    compiled.code = read<std::vector<uint8_t>>(is_ptx ? ptx_ : cubin_, program);
    if (is_ptx && !compiled.code.empty() && compiled.code.back() == 0) compiled.code.pop_back();
    return compiled;
  }

 private:
  using Create = int(Program*, const char*, const char*, int, const char* const*, const char* const*);
  struct Part {
    int (*size)(Program, size_t*);
    int (*get)(Program, char*);
    const char* name;
  };

  Part part(const char* size, const char* get) const {
    return {library_.function<int(Program, size_t*)>(size), library_.function<int(Program, char*)>(get), get};
  }

  template <typename Bytes>
  Bytes read(const Part& part, Program program) const {
    size_t size = 0;
    check(part.size(program, &size), part.name);
    Bytes bytes(size, 0);
    check(part.get(program, reinterpret_cast<char*>(bytes.data())), part.name);
    return bytes;
  }

  // Of "sm_90", "sm_90a", "compute_80" ... itself, or PTX of the latest before it.
  std::string known_target(const std::string& target) const {
    const std::vector<int> known = architectures();
    const int wanted = std::atoi(target.substr(target.find('_') + 1).c_str());
    if (std::find(known.begin(), known.end(), wanted) != known.end()) return target;
    int before = 0;
    for (int each : known)
      if (each < wanted) before = std::max(before, each);
    if (before > 0) return fmt::format("compute_{}", before);
    throw Error(fmt::format("NVRTC {} ({}) compiles for sm_{}, expected {} among them: use another CUDA toolkit",
                            version(), path(), join(known, ", "), target));
  }

  void check(int result, const char* what) const {
    if (result != 0) throw Error(fmt::format("{} of {} fails: {}", what, path(), error_string_(result)));
  }

  SharedLibrary library_;
  const char* (*error_string_)(int);
  int (*version_)(int*, int*);
  int (*architecture_count_)(int*);
  int (*architectures_)(int*);
  Create* create_;
  int (*destroy_)(Program*);
  int (*compile_)(Program, int, const char* const*);
  Part log_, ptx_, cubin_;
};

// The number before `what` in a line of ptxas, or 0.
int64_t number_before(const std::string& line, const std::string& what) {
  size_t end = line.find(what);
  if (end == std::string::npos) return 0;
  size_t begin = end;
  while (begin > 0 && line[begin - 1] == ' ') --begin;
  end = begin;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  return begin == end ? 0 : std::stoll(line.substr(begin, end - begin));
}

}  // namespace

std::shared_ptr<const Nvrtc> Nvrtc::try_open(std::vector<std::string>* reasons, int latest) {
  std::vector<std::string> tried;
  std::optional<SharedLibrary> library = open_library(latest, tried);
  if (reasons) *reasons = tried;
  return library ? std::make_shared<LoadedNvrtc>(*library) : nullptr;
}

std::vector<fs::path> Nvrtc::folders() { return library_folders(); }

std::string Nvrtc::stamp(int latest) {
  for (const SharedLibrary::Search& search : searches(latest))
    if (std::string found = SharedLibrary::stamp(search); !found.empty()) return found;
  std::shared_ptr<const Nvrtc> nvrtc = try_open(nullptr, latest);
  return nvrtc ? nvrtc->path() + " " + nvrtc->version() : "none";
}

const Nvrtc& Nvrtc::open(int latest) {
  static std::mutex mutex;  // a failure is no answer for ever: the library may be installed meanwhile
  static std::map<int, std::shared_ptr<const Nvrtc>> opened_for;
  std::lock_guard lock(mutex);
  std::vector<std::string> reasons;
  std::shared_ptr<const Nvrtc>& opened = opened_for[latest];
  if (!opened) opened = try_open(&reasons, latest);
  if (!opened)
    throw Error(fmt::format("no libnvrtc, which compiles kernels for CUDA devices: {} ({})", advice(latest),
                            join(reasons, "; ")));
  return *opened;
}

std::string Nvrtc::advice(int latest) {
  if (variable(override_variable)) return fmt::format("correct or unset {}, which is obeyed alone", override_variable);
  constexpr int of_script = 13;
  const std::string what = latest == 0 || latest >= of_script
                               ? "install a CUDA toolkit or run scripts/setup.sh --cuda"
                               : "install a CUDA 12 toolkit or NVIDIA's wheel nvidia-cuda-nvrtc-cu12";
  return fmt::format("{}, or set {} to its path", what, override_variable);
}

std::vector<std::string> nvrtc_options(const std::string& target) {
  // Products are not contracted into sums unless the kernel says so; division and square root round correctly.
  std::vector<std::string> options{"--gpu-architecture=" + target, "--std=c++17", "--fmad=false"};
  if (!target.starts_with("compute_")) options.emplace_back("--ptxas-options=-v");
  return options;
}

std::vector<KernelResources> parse_resources(const std::string& log) {
  std::vector<KernelResources> found;
  for (size_t begin = 0; begin < log.size();) {
    size_t end = std::min(log.find('\n', begin), log.size());
    std::string line = log.substr(begin, end - begin);
    begin = end + 1;
    if (size_t at = line.find("Compiling entry function '"); at != std::string::npos) {
      size_t name = at + std::string("Compiling entry function '").size();
      found.emplace_back().symbol = line.substr(name, line.find('\'', name) - name);
    }
    if (found.empty()) continue;
    KernelResources& last = found.back();
    if (line.find("bytes stack frame") != std::string::npos) {
      last.stack_bytes = number_before(line, "bytes stack frame");
      last.spill_store_bytes = number_before(line, "bytes spill stores");
      last.spill_load_bytes = number_before(line, "bytes spill loads");
    }
    if (line.find("Used ") != std::string::npos && line.find(" registers") != std::string::npos) {
      last.registers = number_before(line, "registers");
      last.shared_bytes = number_before(line, "bytes smem");
    }
  }
  return found;
}

}  // namespace placewright
