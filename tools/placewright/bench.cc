// placewright bench: our programs beside the peers', in one interleaved run.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "bench_programs.h"
#include "command.h"
#include "json_text.h"
#include "machine_peak.h"
#include "peer_process.h"
#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/calibrate.h"
#include "placewright/session.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

// Steps of one round: at least 20 ms of them.
constexpr double round_microseconds = 20e3;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t involuntary_switches() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return used.ru_nivcsw;
}

// Rounds of one side. Those with an involuntary context switch are dropped, unless that leaves fewer than a third.
class Samples {
 public:
  void add(double microseconds, bool undisturbed) {
    all_.push_back(microseconds);
    if (undisturbed) undisturbed_.push_back(microseconds);
  }
  // As calibration measures: what nothing disturbed.
  double least() const { return *std::min_element(all_.begin(), all_.end()); }
  double median() const {
    std::vector<double> sorted = undisturbed_.size() * 3 >= all_.size() ? undisturbed_ : all_;
    std::sort(sorted.begin(), sorted.end());
    size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }

 private:
  std::vector<double> all_, undisturbed_;
};

struct PeerSide {
  PeerProcess* process;
  int64_t steps = 1;
  Samples samples;
};

// What programs run on, and its limits: of a processor measured in the same run, of another device as it is published.
struct Bed {
  DeviceId device;
  double peak = 0, bandwidth = 0;  // f32 operations, of all its threads, and bytes a second
  int threads = 1;

  bool is_processor() const { return device.kind == "cpu"; }
  // Clocks wander.
  void look_again() {
    if (is_processor()) peak = std::max(peak, measure_fma_peak(5) * threads);
  }
};

struct Result {
  std::string program;
  std::vector<double> values;  // what peers' are held against
  double microseconds = 0, floor_microseconds = 0, flops = 0;
  struct Peer {
    std::string name;
    double microseconds;
  };
  std::vector<Peer> peers;
  double difference = 0;  // the largest relative one between our values and a peer's
};

double largest_difference(const std::vector<double>& ours, const std::vector<double>& theirs) {
  if (ours.size() != theirs.size()) return HUGE_VAL;
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    double difference = std::abs(ours[i] - theirs[i]) / std::max(std::abs(theirs[i]), 1e-2);
    largest = std::isnan(difference) ? HUGE_VAL : std::max(largest, difference);
  }
  return largest;
}

// f32 against f32: sums in another order; Adam magnifies them.
constexpr double allowed_difference = 1e-3;

double our_round(BenchProgram& program, int64_t steps, Samples* samples) {
  int64_t switches = involuntary_switches();
  double start = seconds_now();
  program.run(steps);
  double microseconds = (seconds_now() - start) * 1e6 / static_cast<double>(steps);
  if (samples) samples->add(microseconds, involuntary_switches() == switches);
  return microseconds;
}

int64_t steps_for(double microseconds) {
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(round_microseconds / std::max(microseconds, 1e-3))));
}

Result measure(const std::string& name, const BenchOptions& options, const Bed& bed,
               const std::vector<std::unique_ptr<PeerProcess>>& peers) {
  std::unique_ptr<BenchProgram> ours = make_program(name, bed.device.to_string());
  Result result;
  result.program = name;
  result.flops = ours->flops();
  result.floor_microseconds = ours->flops() / bed.peak * 1e6;

  // First that the results are equal, then how fast they come.
  result.values = ours->check();
  std::vector<PeerSide> sides;
  for (const auto& peer : peers) {
    if (!peer->has(name)) continue;
    peer->prepare(name);
    result.difference = std::max(result.difference, largest_difference(result.values, peer->check()));
    sides.push_back({peer.get(), 1, {}});
    sides.back().steps = steps_for(peer->round(sides.back().steps).microseconds);
    sides.back().steps = steps_for(peer->round(sides.back().steps).microseconds);
  }
  int64_t steps = steps_for(our_round(*ours, 1, nullptr));
  for (int i = 0; i < 2; ++i) steps = steps_for(our_round(*ours, steps, nullptr));

  Samples samples;
  for (int round = 0; round < options.rounds; ++round) {
    our_round(*ours, steps, &samples);
    for (PeerSide& side : sides) {
      PeerProcess::Round found = side.process->round(side.steps);
      side.samples.add(found.microseconds, found.switches == 0);
    }
  }
  result.microseconds = samples.median();
  for (PeerSide& side : sides) result.peers.push_back({side.process->name(), side.samples.median()});
  return result;
}

// The best peer that makes one call a step, as we do; and apart from it the one with 1,000 steps in one call.
std::vector<std::optional<Result::Peer>> compared_peers(const Result& result) {
  std::optional<Result::Peer> best, chained;
  for (const Result::Peer& peer : result.peers) {
    std::optional<Result::Peer>& place = peer.name == "jax-scan" ? chained : best;
    if (!place || peer.microseconds < place->microseconds) place = peer;
  }
  std::vector<std::optional<Result::Peer>> compared{best};
  if (chained) compared.push_back(chained);
  return compared;
}

std::filesystem::path script_path() {
  std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (const char* candidate : {"../../bench/peers.py", "../share/placewright/bench/peers.py"})
    if (std::filesystem::exists(folder / candidate)) return std::filesystem::canonical(folder / candidate);
  throw Error(fmt::format("bench: peers.py stands neither in the source tree nor beside {}", folder.string()));
}

std::filesystem::path python_path() {
  if (const char* folder = std::getenv("PLACEWRIGHT_PEERS")) return std::filesystem::path(folder) / "bin/python";
  const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
  std::filesystem::path base =
      cache && *cache ? std::filesystem::path(cache) : std::filesystem::path(home ? home : "") / ".cache";
  return base / "placewright/peers/bin/python";
}

std::vector<std::unique_ptr<PeerProcess>> start_peers(const BenchOptions& options, const Bed& bed) {
  std::vector<std::unique_ptr<PeerProcess>> peers;
  if (options.no_peers) return peers;
  std::filesystem::path python = python_path();
  if (!std::filesystem::exists(python)) {
    if (options.peers)
      throw Error(fmt::format("bench: no peers in {}; run scripts/bench_peers.sh --setup-only", python.string()));
    fmt::print("without peers: there is no {} (scripts/bench_peers.sh sets it up)\n", python.string());
    return peers;
  }
  std::vector<const char*> names{"pytorch", "pytorch-compile"};
  if (bed.is_processor()) names.insert(names.end(), {"jax", "jax-scan", "numpy"});
  for (const char* peer : names) {
    peers.push_back(
        std::make_unique<PeerProcess>(python.string(), script_path().string(), peer, options.threads, bed.device.kind));
    fmt::print("peer {} {}\n", peer, peers.back()->version());
  }
  return peers;
}

Bed find_bed(const BenchOptions& options) {
  for (const DeviceSpec& spec : machine().devices)
    if (!spec.host_memory) return {spec.id, spec.rate("contraction", DType::f32), spec.memory_bandwidth, 1};
  if (options.devices != "cpu")  // why, the session said
    throw Error(fmt::format("bench: devices '{}' hold none but the processor", options.devices));
  return {{"cpu", 0}, measure_fma_peak() * options.threads, measure_bandwidth(), options.threads};
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::string name_of(const Bed& bed) {
  for (const DeviceSpec& spec : machine().devices)
    if (spec.id == bed.device && !bed.is_processor()) return spec.name;
  return cpu_name();
}

// Beside what a step takes, what planning thinks that it takes.
int predict(const BenchOptions& options, const std::vector<std::string>& programs) {
  fmt::print("{}\n",
             bold(fmt::format("{:<22} {:>12} {:>12} {:>8}", "program", "measured us", "predicted us", "error")));
  std::vector<double> errors;
  Json rows = Json::array();
  for (const std::string& name : programs) {
    std::unique_ptr<BenchProgram> program = make_program(name);
    const Profile profile = calibrate();  // clocks wander: of the same seconds
    int64_t steps = steps_for(our_round(*program, 1, nullptr));
    for (int i = 0; i < 2; ++i) steps = steps_for(our_round(*program, steps, nullptr));
    Samples samples;
    for (int round = 0; round < options.rounds; ++round) our_round(*program, steps, &samples);
    double measured = samples.least();
    StepTime time = predict_step(program->compiled(), machine(), &profile);
    double predicted = time.seconds() * 1e6;
    errors.push_back(std::abs(predicted - measured) / measured);
    fmt::print("{:<22} {:>12.3f} {:>12.3f} {:>+7.1f}%\n", name, measured, predicted,
               100 * (predicted - measured) / measured);
    Json row{{"program", name}, {"measured_microseconds", measured}, {"predicted_microseconds", predicted}};
    Profile with_kernels = profile;
    profile_kernels(with_kernels, program->compiled().captured(), {});
    StepTime known = predict_step(program->compiled(), machine(), &with_kernels);
    for (size_t i = 0; i < time.launches.size(); ++i)
      row["launches"].push_back({{"what", time.launches[i].what},
                                 {"measured_microseconds", known.launches[i].seconds * 1e6},
                                 {"predicted_microseconds", time.launches[i].seconds * 1e6}});
    rows.push_back(std::move(row));
  }
  std::sort(errors.begin(), errors.end());
  fmt::print("median error {:.1f}%\n", 100 * errors[errors.size() / 2]);
  if (!options.json.empty())
    write_file_atomically(options.json, json_text({{"predictions", rows}, {"threads", options.threads}}) + "\n");
  return success;
}

void print_result(const Result& result, const Bed& bed) {
  double rate = result.flops / result.microseconds * 1e6;
  for (const std::optional<Result::Peer>& peer : compared_peers(result)) {
    fmt::print("{:<22} {:>12.3f} {:>12.3f} {:>7.1f}%", result.program, result.microseconds, result.floor_microseconds,
               100 * rate / bed.peak);
    if (peer)
      fmt::print("   {:<16} {:>12.3f} {:>8.2f}x", peer->name, peer->microseconds,
                 peer->microseconds / result.microseconds);
    fmt::print("\n");
  }
  if (result.difference > allowed_difference)
    fmt::print("  RESULTS DIFFER from a peer's by {:.1e}, relative; allowed is {:.0e}\n", result.difference,
               allowed_difference);
  std::fflush(stdout);
}

Json to_json(const Result& result, const Bed& bed) {
  Json rows = Json::array();
  for (const std::optional<Result::Peer>& peer : compared_peers(result)) {
    Json row{{"program", result.program},
             {"device", bed.device.to_string()},
             {"threads", bed.threads},
             {"microseconds", result.microseconds},
             {"floor_microseconds", result.floor_microseconds},
             {"of_peak", result.flops / result.microseconds * 1e6 / bed.peak},
             {"peer", peer ? Json(peer->name) : Json()},
             {"peer_microseconds", peer ? Json(peer->microseconds) : Json()},
             {"ratio", peer ? Json(peer->microseconds / result.microseconds) : Json()},
             {"relative_difference", result.peers.empty() ? Json() : Json(result.difference)},
             {"values", result.values}};
    for (const Result::Peer& other : result.peers) row["peers"][other.name] = other.microseconds;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

int bench(const BenchOptions& options) {
  std::vector<std::string> programs;
  for (const std::string& name : options.programs)
    for (std::string& expanded : expand_program(name)) programs.push_back(std::move(expanded));
  configure(SessionOptions{.devices = options.devices, .threads = options.threads});

  if (options.predict) return predict(options, programs);
  Bed bed = find_bed(options);
  const std::string bed_name = name_of(bed);
  const double threads_peak = bed.peak / bed.threads;
  fmt::print("{}: {} {:.1f} GFLOP/s in f32 FMA, {:.1f} GB/s\n", bed_name,
             bed.is_processor() ? "one thread" : bed.device.to_string() + ", as published,", threads_peak / 1e9,
             bed.bandwidth / 1e9);
  std::vector<std::unique_ptr<PeerProcess>> peers = start_peers(options, bed);
  fmt::print("{}\n", bold(fmt::format("{:<22} {:>12} {:>12} {:>8}   {:<16} {:>12} {:>9}", "program", "microseconds",
                                      "floor", "of peak", "best peer", "microseconds", "ratio")));
  std::fflush(stdout);
  Json results = Json::array();
  bool equal = true;
  for (const std::string& name : programs) {
    Result result = measure(name, options, bed, peers);
    bed.look_again();
    print_result(result, bed);
    for (Json& row : to_json(result, bed)) results.push_back(std::move(row));
    equal = equal && result.difference <= allowed_difference;
  }
  if (!options.json.empty()) {
    Json versions = Json::object();
    for (const auto& peer : peers) versions[peer->name()] = peer->version();
    Json document{{"results", results},
                  {"machine",
                   {{"cpu", cpu_name()},
                    {"device", bed.device.to_string()},
                    {"name", bed_name},
                    {"fma_peak_gflops", bed.peak / bed.threads / 1e9},
                    {"bandwidth_gb_per_second", bed.bandwidth / 1e9}}},
                  {"peers", versions}};
    write_file_atomically(options.json, json_text(document) + "\n");
  }
  return equal ? success : finding;
}

}  // namespace placewright::tools
