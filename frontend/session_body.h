// The session's insides: what the frontend shares in one process. Everything here may be called from several threads.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "placewright/ir/host_tensor.h"
#include "placewright/session.h"
#include "placewright/tensor.h"

namespace placewright {

class ByteCache;
class DeviceSet;
class StateStore;
struct Machine;
struct CompileProgramOptions;
struct PassContext;
namespace capture {
class LoadedGraph;
}

class Session {
 public:
  explicit Session(SessionOptions options);
  ~Session();
  // The one of this process; made from the default options at first use.
  static std::shared_ptr<Session> current();
  static void replace(std::shared_ptr<Session> session);

  const SessionOptions& options() const { return options_; }
  // Devices are opened at first use: asking for a shape needs none.
  const DeviceSet& devices();
  const std::shared_ptr<StateStore>& states();
  const Machine& machine();
  PassContext pass_context();
  CompileProgramOptions compile_options();  // for this session's devices
  const ByteCache* cache();                 // null: none is wanted, or its folder cannot be used

  // Runs what the tensors are computed from; equal graphs are compiled once.
  std::vector<Tensor> run_lazy(std::span<const Tensor> results);
  // Drops what run_lazy keeps: it holds this session.
  void forget_lazy();

  // A name like `wanted` that no live state has; to be given back.
  std::string claim_name(const std::string& wanted);
  void release_name(const std::string& name);

  // A number for each call since the session began or the seed was set: streams of random numbers.
  uint64_t next_stream() { return stream_++; }
  uint64_t seed() const { return seed_; }
  void set_seed(uint64_t seed);
  void notice(const std::string& line);

 private:
  struct Opened;
  Opened& opened();

  SessionOptions options_;
  std::atomic<uint64_t> seed_, stream_{0};
  std::mutex mutex_;
  std::unique_ptr<Opened> opened_;
  std::set<std::string> names_;
  std::map<std::string, std::shared_ptr<capture::LoadedGraph>> lazy_;  // by the captured graph's text
};

// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): a pure function of seed, stream and position.
class HostRandom {
 public:
  HostRandom(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}
  uint64_t bits(uint64_t position) const;
  void fill_uniform(std::span<float> values, double bound) const;  // in [-bound, bound)
  double uniform(uint64_t position) const;                         // in [0, 1), 53 bits
  double normal(uint64_t position) const;                          // Box-Muller on two uniforms
  uint64_t below(uint64_t bound, uint64_t position) const;         // in [0, bound)

 private:
  std::array<uint64_t, 2> block(uint64_t number) const;

  uint64_t seed_, stream_;
};

}  // namespace placewright
