// The kinds of devices of this build: one for each folder of runtime/ that holds a kind.cc, which defines
// `DeviceKind NAME_kind()` in namespace placewright. CMake lists the folders.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "placewright/runtime/device.h"

namespace placewright {

class ByteCache;

// Libraries that devices may run instead of kernels where these were timed and found slower.
struct LibraryUse {
  bool allowed = false;
  std::shared_ptr<const ByteCache> kept;                             // what was found faster is kept there; may be null
  std::function<std::vector<std::filesystem::path>()> folders = {};  // where else they are looked for
};

struct DeviceRequest {
  int count = 0;                     // 0: nobody asked; what is absent may be said nevertheless
  int threads = 0;                   // of the host; 0: all
  const DeviceSpec* host = nullptr;  // opened before; null for the host itself
  std::vector<int64_t> memory = {};  // bytes that each device may give out, by ordinal; 0 or none: all that it has
  LibraryUse libraries = {};

  // What is wanted of a device that has so many bytes.
  int64_t memory_of(int ordinal, int64_t bytes) const {
    int64_t wanted = static_cast<size_t>(ordinal) < memory.size() ? memory[static_cast<size_t>(ordinal)] : 0;
    return wanted > 0 && wanted < bytes ? wanted : bytes;
  }
};

struct OpenedDevices {
  std::vector<std::shared_ptr<Device>> devices;
  std::vector<Link> links;           // of these devices with the host and with each other
  std::vector<AbsentDevice> absent;  // why there are none, or fewer than asked for
};

// What the compiler of a kind's kernels says of itself, for examinations. Whoever has it says so: the runtime has none.
struct CompilerFacts {
  std::string name, path;  // "NVRTC"
  int major = 0, minor = 0;
  std::vector<int> architectures;              // that it compiles for, as numbers of the kind
  std::string missing;                         // why there is none; empty: there is one
  std::vector<std::filesystem::path> folders;  // where libraries of its toolkit are looked for
  std::string fix = {};                        // of what is missing
};
// The one that compiles for devices of which Device::latest_compiler() is `latest`.
using FindCompiler = std::function<CompilerFacts(int latest)>;

// One thing that was tried.
struct DeviceCheck {
  std::string name;
  std::string code;  // stable; empty if it is good
  std::string found;
  bool good = true;
  std::string fix;  // of what is not good
};

struct DeviceKind {
  std::string name;      // as DeviceId::kind says it
  bool is_host = false;  // exactly one kind is; it has one device
  int most = 1;          // how many a session may ask for; 0: none in this build
  OpenedDevices (*open)(const DeviceRequest& request) = nullptr;
  // Tries all that the kind's devices need, from the driver to a launch and copies. No checks where a machine simply
  // has no such device. `find_compiler` may be null: then nobody can say.
  std::vector<DeviceCheck> (*examine)(const FindCompiler& find_compiler) = nullptr;
};

std::vector<DeviceKind> device_kinds();  // the host first, then by name

}  // namespace placewright
