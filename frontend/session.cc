#include "placewright/session.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

#include <fmt/core.h>

#include "load_graph.h"
#include "placewright/base/join.h"
#include "placewright/calibrate.h"
#include "placewright/codegen/compile_program.h"
#include "placewright/codegen/cpu_target.h"
#include "placewright/ir/kernel.h"
#include "placewright/ir/machine.h"
#include "placewright/passes/pass.h"
#include "placewright/runtime/byte_cache.h"
#include "placewright/runtime/device_kinds.h"
#include "placewright/runtime/state_store.h"
#include "session_body.h"

namespace placewright {

namespace {
// The one global of the library.
struct Current {
  std::mutex mutex;
  std::shared_ptr<Session> session;
  ~Current() {
    if (session) session->forget_lazy();
  }
};
Current& current() {
  static Current current;
  return current;
}
}  // namespace

struct Session::Opened {
  DeviceSet devices;
  Machine machine;
  std::optional<Profile> profile;
  std::shared_ptr<StateStore> states;
  std::map<DeviceId, std::shared_ptr<const CodeTarget>> targets;
  std::map<DeviceId, std::unique_ptr<TargetModel>> models;
  std::shared_ptr<const ByteCache> cache;
};

namespace {

constexpr int most_threads = 1024;

struct Wanted {
  std::string kind;
  int count = 1;
};

// "cpu,sim:2"
std::vector<Wanted> parse_wanted(const std::string& text) {
  std::vector<Wanted> all;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string found = text.substr(begin, end - begin);
    try {
      const DeviceId part = parse_device(found);
      all.push_back({part.kind, found.find(':') != std::string::npos ? part.ordinal : 1});
    } catch (const Error&) {
      throw Error(fmt::format(
          "devices '{}': found '{}', expected a kind of device and how many of it, as in cpu,cuda:1", text, found));
    }
    begin = end + 1;
  }
  return all;
}

// "cpu and sim:N with N up to 64"
std::string expected_kinds(const std::vector<DeviceKind>& kinds) {
  std::vector<std::string> texts;
  for (const DeviceKind& kind : kinds)
    if (kind.most > 0)
      texts.push_back(kind.most == 1 ? kind.name : fmt::format("{0}:N with N up to {1}", kind.name, kind.most));
  return join(texts, " and ");
}

// Elsewhere `cuda:0` is the first GPU; here it would be none, and nothing would say so.
void refuse_none(const SessionOptions& options, const Wanted& wanted) {
  if (wanted.count == 0)
    throw Error(
        fmt::format("devices '{0}': found {1}:0, expected how many: {1}:1 gives the session one, which is then "
                    "called {1}:0; for none leave {1} out",
                    options.devices, wanted.kind));
}

// What the options say of the memory of `count` devices of a kind; what is understood is taken out of `open`.
std::vector<int64_t> wanted_memory(const SessionOptions& options, const std::string& kind, int count,
                                   std::set<std::string>& open) {
  std::vector<int64_t> memory(static_cast<size_t>(count), 0);
  auto take = [&](const std::string& name, size_t first, size_t last) {
    auto wanted = options.memory.find(name);
    if (wanted == options.memory.end()) return;
    if (wanted->second <= 0)
      throw Error(fmt::format("memory of {} is {} bytes, expected more than 0", name, wanted->second));
    for (size_t i = first; i < last; ++i) memory[i] = wanted->second;
    open.erase(name);
  };
  if (count > 0) take(kind, 0, memory.size());
  for (size_t i = 0; i < memory.size(); ++i) take(DeviceId{kind, static_cast<int>(i)}.to_string(), i, i + 1);
  return memory;
}

// `missed`: why there are fewer devices than the options ask for, a line each.
DeviceSet open_devices(const SessionOptions& options, std::shared_ptr<const ByteCache> cache, std::vector<Link>& links,
                       std::vector<std::string>& missed) {
  if (options.threads < 0 || options.threads > most_threads)
    throw Error(fmt::format("threads is {}, expected 1 to {}, or 0 for all", options.threads, most_threads));
  const std::vector<DeviceKind> kinds = device_kinds();
  std::map<std::string, int> counts;
  for (const Wanted& wanted : parse_wanted(options.devices)) {
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const DeviceKind& k) { return k.name == wanted.kind; });
    if (kind == kinds.end() || wanted.count < 0 || wanted.count > kind->most || (kind->is_host && wanted.count != 1))
      throw Error(fmt::format("devices '{}': found {}:{}, expected {}", options.devices, wanted.kind, wanted.count,
                              expected_kinds(kinds)));
    refuse_none(options, wanted);
    if (!counts.emplace(wanted.kind, wanted.count).second)
      throw Error(fmt::format("devices '{}': found {} twice, expected each kind once", options.devices, wanted.kind));
  }
  std::vector<std::shared_ptr<Device>> devices;
  std::vector<AbsentDevice> absent;
  std::set<std::string> not_understood;
  for (const auto& [name, bytes] : options.memory) not_understood.insert(name);
  for (const DeviceKind& kind : kinds) {
    int count = kind.is_host ? 1 : counts[kind.name];
    DeviceRequest request{count, options.threads, nullptr, wanted_memory(options, kind.name, count, not_understood),
                          LibraryUse{options.use_libraries, cache, toolkit_folders}};
    if (!kind.is_host) request.host = &devices.front()->spec();
    OpenedDevices opened = kind.open(request);
    devices.insert(devices.end(), opened.devices.begin(), opened.devices.end());
    links.insert(links.end(), opened.links.begin(), opened.links.end());
    absent.insert(absent.end(), opened.absent.begin(), opened.absent.end());
    if (!kind.is_host && count > 0)
      for (const AbsentDevice& each : opened.absent)
        missed.push_back(fmt::format("devices '{}': {} ({}); {}; it goes on with {} of {}", options.devices, each.cause,
                                     each.code, each.fix, opened.devices.size(), count));
  }
  if (!not_understood.empty())
    throw Error(fmt::format("memory of '{}': the session has no such device; it has '{}'", *not_understood.begin(),
                            options.devices));
  return DeviceSet(std::move(devices), std::move(absent));
}

}  // namespace

Session::Session(SessionOptions options) : options_(std::move(options)), seed_(options_.seed) {
  if (!try_parse_precision(options_.product_precision))
    throw Error(fmt::format("product_precision is '{}', expected f32, tf32 or bf16", options_.product_precision));
}
Session::~Session() = default;

Session::Opened& Session::opened() {
  std::unique_lock lock(mutex_);
  if (opened_) return *opened_;
  auto made = std::make_unique<Opened>();
  std::vector<std::string> complaints;
  if (options_.use_cache) try {
      made->cache = std::make_shared<const ByteCache>(
          options_.cache_directory.empty() ? default_cache_folder() : std::filesystem::path(options_.cache_directory));
    } catch (const Error& error) {
      complaints.push_back(fmt::format("compiled programs are not kept: {}", error.what()));
    }
  std::vector<Link> links;
  made->devices = open_devices(options_, made->cache, links, complaints);
  made->machine = made->devices.machine(std::move(links));
  made->states = std::make_shared<StateStore>(made->devices.host());
  // One device leaves nothing to choose.
  if (options_.use_calibration && made->machine.devices.size() > 1)
    made->profile = try_load_calibration(made->machine, options_.cache_directory);
  const Profile* profile = made->profile ? &*made->profile : nullptr;
  auto facts = std::make_shared<OpFactsTable>();
  EmitOptions emit;
  emit.check_bounds = options_.check_bounds;
  std::map<std::string, std::shared_ptr<const CodeTarget>> targets;  // devices of one kind share kernels
  for (const DeviceSpec& spec : made->machine.devices) {
    std::shared_ptr<const CodeTarget>& target = targets[spec.target];
    if (!target)
      target = make_code_target(spec.target, host_cpu_target(), emit, made->devices.find(spec.id)->latest_compiler());
    made->targets[spec.id] = target;
    made->models[spec.id] = target->model(spec, profile, facts);
  }
  // Where only some devices have a compiler, placement must not choose the others. Where none has, kernels may still be
  // in the cache, and compiling says what is missing.
  std::map<std::string, std::string> absences;
  for (const auto& [name, target] : targets)
    if (std::string absence = target->absence(); !absence.empty()) absences[name] = std::move(absence);
  if (absences.size() < targets.size())
    for (const DeviceSpec& spec : made->machine.devices)
      if (auto absence = absences.find(spec.target); absence != absences.end())
        made->models[spec.id] = make_refusing_model(std::move(made->models[spec.id]), absence->second);
  opened_ = std::move(made);
  lock.unlock();  // whoever gets notices may ask the session for something
  for (const std::string& complaint : complaints) notice(complaint);
  return *opened_;
}

CompileProgramOptions Session::compile_options() {
  Opened& all = opened();
  CompileProgramOptions options;
  options.target = host_cpu_target();
  options.targets = all.targets;
  options.host = all.devices.host()->id();
  options.emit.check_bounds = options_.check_bounds;
  options.threads = all.machine.devices.front().threads;
  if (const ByteCache* cache = all.cache.get()) {
    options.store.load = [cache](const std::string& key) { return cache->load(key); };
    options.store.store = [cache](const std::string& key, std::span<const uint8_t> bytes) { cache->store(key, bytes); };
  }
  return options;
}

const DeviceSet& Session::devices() { return opened().devices; }
const std::shared_ptr<StateStore>& Session::states() { return opened().states; }
const Machine& Session::machine() { return opened().machine; }
const ByteCache* Session::cache() { return opened().cache.get(); }

PassContext Session::pass_context() {
  Opened& all = opened();
  PassContext context;
  for (const auto& [id, model] : all.models) context.targets[id] = model.get();
  context.machine = &all.machine;
  context.profile = all.profile ? &*all.profile : nullptr;
  context.options.strict = options_.strict;
  return context;
}

std::shared_ptr<Session> Session::current() {
  Current& here = placewright::current();
  std::lock_guard lock(here.mutex);
  if (!here.session) here.session = std::make_shared<Session>(SessionOptions{});
  return here.session;
}

void Session::replace(std::shared_ptr<Session> session) {
  Current& here = placewright::current();
  std::lock_guard lock(here.mutex);
  here.session.swap(session);
  if (session) session->forget_lazy();
}

void Session::forget_lazy() {
  std::map<std::string, std::shared_ptr<capture::LoadedGraph>> forgotten;
  std::lock_guard lock(mutex_);
  forgotten.swap(lazy_);
}

std::string Session::claim_name(const std::string& wanted) {
  std::lock_guard lock(mutex_);
  std::string name = wanted;
  for (int i = 2; !names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

void Session::release_name(const std::string& name) {
  std::lock_guard lock(mutex_);
  names_.erase(name);
}

void Session::set_seed(uint64_t seed) {
  seed_ = seed;
  stream_ = 0;
}

void Session::notice(const std::string& line) {
  if (options_.notice)
    options_.notice(line);
  else
    std::fprintf(stderr, "placewright: %s\n", line.c_str());
}

void configure(const SessionOptions& options) { Session::replace(std::make_shared<Session>(options)); }
const SessionOptions& session_options() { return Session::current()->options(); }
void manual_seed(uint64_t seed) { Session::current()->set_seed(seed); }

std::vector<DeviceId> devices() {
  std::vector<DeviceId> ids;
  for (const DeviceSpec& spec : machine().devices) ids.push_back(spec.id);
  return ids;
}

int device_count(std::string_view kind) {
  int count = 0;
  for (const DeviceId& id : devices()) count += id.kind == kind;
  return count;
}

const Machine& machine() { return Session::current()->machine(); }

Availability is_available(std::string_view kind) {
  if (device_count(kind) > 0) return {true, {}};
  for (const AbsentDevice& absent : machine().absent)
    if (absent.kind == kind) return {false, fmt::format("{}; {}", absent.cause, absent.fix)};
  return {false, fmt::format("this build has no devices of kind {}, or the session was not given any; it has {}", kind,
                             session_options().devices)};
}

}  // namespace placewright
