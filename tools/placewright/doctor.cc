// placewright doctor: which devices there are, what is absent and why, and whether kernels can be compiled and kept.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <unistd.h>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "command.h"
#include "json_text.h"
#include "placewright/base/error.h"
#include "placewright/base/join.h"
#include "placewright/codegen/cuda/nvrtc.h"
#include "placewright/ir/machine.h"
#include "placewright/placewright.h"
#include "placewright/runtime/byte_cache.h"
#include "placewright/runtime/device_kinds.h"
#include "spelling.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

using Check = DeviceCheck;

// Compiles and runs a step so small that only the machinery is tried, past the cache.
Check check_compiler() {
  Check check{"compiler", "", "compiles and runs a kernel", true, ""};
  try {
    HostTensor sum = (tensor<float>({1, 2}, {2}) + tensor<float>({10, 20}, {2})).value();
    if (sum.number(0) != 11 || sum.number(1) != 22)
      check = {"compiler", "wrong-result",
               fmt::format("1 + 10 and 2 + 20 gave {} and {}", sum.number(0), sum.number(1)), false,
               "report it: this is a bug"};
  } catch (const Error& error) {
    check = {"compiler", "no-compiler", error.what(), false,
             "build with -DPLACEWRIGHT_LLVM=ON, or install libplacewright-llvm.so beside libplacewright.so"};
  }
  return check;
}

Check check_cache() {
  try {
    ByteCache cache(default_cache_folder());
    return {"cache", "", fmt::format("{}, {}", cache.folder().string(), bytes_text(cache.size())), true, ""};
  } catch (const Error& error) {
    return {"cache", "no-cache", error.what(), false,
            "set PLACEWRIGHT_CACHE to a folder of yours; until then nothing is kept"};
  }
}

// What is set and read by nobody, as it is spelled almost like a variable of ours.
std::vector<Check> check_environment() {
  const std::string ours = "PLACEWRIGHT_";
  const std::vector<std::string> known{"CACHE",    "JOBS",     "LIBCUBLASLT",  "LIBCUDA",
                                       "LIBCUDNN", "LIBNVRTC", "LLVM_LIBRARY", "PEERS"};
  std::vector<Check> checks;
  for (char** each = environ; *each; ++each) {
    const std::string set = *each;
    if (!set.starts_with(ours)) continue;
    const std::string name = set.substr(ours.size(), set.find('=') - ours.size());
    auto further = [&](const std::string& a, const std::string& b) { return distance(a, name) < distance(b, name); };
    const std::string& meant = *std::min_element(known.begin(), known.end(), further);
    const size_t wrong = distance(meant, name);
    if (wrong == 0 || wrong > 3 || 2 * wrong >= meant.size()) continue;
    checks.push_back({"environment", "misspelt-variable", fmt::format("nothing reads {}{}, which is set", ours, name),
                      false, fmt::format("unset it, or set {}{} if that is meant", ours, meant)});
  }
  return checks;
}

CompilerFacts facts_of_nvrtc(int latest) {
  CompilerFacts facts;
  facts.name = "NVRTC";
  facts.fix = Nvrtc::advice(latest);
  facts.folders = Nvrtc::folders();
  try {
    std::vector<std::string> reasons;
    std::shared_ptr<const Nvrtc> nvrtc = Nvrtc::try_open(&reasons, latest);
    if (!nvrtc) {
      facts.missing = "no libnvrtc, which compiles kernels for CUDA devices: " + join(reasons, "; ");
      return facts;
    }
    facts.path = nvrtc->path();
    facts.architectures = nvrtc->architectures();
    if (std::sscanf(nvrtc->version().c_str(), "%d.%d", &facts.major, &facts.minor) != 2)
      facts.missing = fmt::format("{} says that its version is '{}'", facts.path, nvrtc->version());
  } catch (const Error& error) {  // a library of that name which is none
    facts.missing = error.what();
  }
  return facts;
}

// Compilers that are opened on need, by the kind of devices that needs them. The runtime, whose kinds examine, knows
// none of them.
struct Compiler {
  const char* kind;
  CompilerFacts (*facts)(int latest);
};
constexpr Compiler compilers[] = {{"cuda", facts_of_nvrtc}};

std::vector<Check> examine(const DeviceKind& kind) {
  for (const Compiler& compiler : compilers)
    if (kind.name == compiler.kind) return kind.examine(compiler.facts);
  return kind.examine(nullptr);
}

void print_text(const Machine& machine, const std::vector<Check>& checks) {
  fmt::print("{}\n", bold("devices"));
  for (const DeviceSpec& device : machine.devices)
    fmt::print("  {:<8} {}: {} thread{}, {:.1f} GiB\n", device.id.to_string(), device.name, device.threads,
               device.threads == 1 ? "" : "s", static_cast<double>(device.memory_bytes) / (1 << 30));
  if (!machine.absent.empty()) fmt::print("{}\n", bold("absent"));
  for (const AbsentDevice& absent : machine.absent)
    fmt::print("  {:<8} {} ({}); {}\n", absent.kind, absent.cause, absent.code, absent.fix);
  fmt::print("{}\n", bold("checks"));
  for (const Check& check : checks) {
    fmt::print("  {:<8} {}: {}\n", check.name, check.good ? "good" : "FAULT", check.found);
    if (!check.good) fmt::print("           {}; fix: {}\n", check.code, check.fix);
  }
}

void print_json(const Machine& machine, const std::vector<Check>& checks) {
  Json document{{"devices", Json::array()}, {"absent", Json::array()}, {"checks", Json::array()}};
  for (const DeviceSpec& device : machine.devices)
    document["devices"].push_back({{"device", device.id.to_string()},
                                   {"name", device.name},
                                   {"target", device.target},
                                   {"threads", device.threads},
                                   {"memory_bytes", device.memory_bytes}});
  for (const AbsentDevice& absent : machine.absent)
    document["absent"].push_back(
        {{"kind", absent.kind}, {"code", absent.code}, {"cause", absent.cause}, {"fix", absent.fix}});
  for (const Check& check : checks) {
    Json row{{"check", check.name}, {"good", check.good}, {"found", check.found}};
    if (!check.good) row.update({{"code", check.code}, {"fix", check.fix}});
    document["checks"].push_back(std::move(row));
  }
  fmt::print("{}\n", json_text(document));
}

}  // namespace

int doctor(const DoctorOptions& options) {
  configure(SessionOptions{.use_cache = false});
  if (options.machine) {
    fmt::print("{}", print_machine(machine()));
    return success;
  }
  std::vector<Check> checks{check_compiler(), check_cache()};
  for (Check& check : check_environment()) checks.push_back(std::move(check));
  for (const DeviceKind& kind : device_kinds()) {
    if (!kind.examine) continue;
    std::vector<Check> of_kind = examine(kind);
    checks.insert(checks.end(), of_kind.begin(), of_kind.end());
  }
  if (options.format == "json")
    print_json(machine(), checks);
  else
    print_text(machine(), checks);
  for (const Check& check : checks)
    if (!check.good) return finding;
  return success;
}

}  // namespace placewright::tools
