// A simulated accelerator. It runs the host's kernels on memory of its own, at addresses that only its launches and
// copies translate: nothing reaches it without a transfer, and touching one of its addresses on the host faults. Work
// given to a stream is done as late as an event allows, so that whoever reads early reads poison. Time is virtual.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "placewright/runtime/device.h"
#include "placewright/runtime/sim/sim_truth.h"
#include "placewright/runtime/thread_pool.h"

namespace placewright {

// What makes the device behave worse than its spec says: nothing of this is known to a planner.
struct SimFaults {
  double launch_factor = 1;     // launches take that many times longer
  double link_factor = 1;       // copies too
  int64_t fail_allocation = 0;  // the n-th allocation from now on fails, counted from 1; 0: none
  int64_t lose_at_command = 0;  // the n-th launch or copy that runs from now on loses the device; 0: none
  uint64_t reorder_seed = 0;    // other than 0: streams advance in a random order that their events allow
};

class SimDevice;

// When a link is busy. Work is run as late as an event allows, so that copies come in any order; each takes the first
// time that is free from when it could begin.
class SimLink {
 public:
  double reserve(double from, double seconds);  // when the copy ends

 private:
  static constexpr size_t remembered = 1024;
  std::map<double, double> busy_;  // ends of stretches by their begins
  double forgotten_ = 0;           // before that nothing more fits in
};

// The devices of one simulated machine: one lock, one virtual host clock, and the links' traffic.
class SimMachine {
 public:
  // Without `computes` only time passes: kernels need no code, nothing is written, and values are undefined: a step of
  // a large model is then a matter of milliseconds.
  explicit SimMachine(std::vector<Link> links, bool computes = true) : links_(std::move(links)), computes_(computes) {}
  // Virtual seconds that the host has waited until.
  double host_seconds() const;
  void spend(double seconds);  // the host is busy
  const std::vector<Link>& links() const { return links_; }
  bool computes() const { return computes_; }
  // For what runs from now on.
  void set_truth(const SimTruth& truth);
  SimTruth truth() const;

  // An image of which only the names of its entries count.
  static std::shared_ptr<const LoadedImage> load_names(const KernelImage& image);

 private:
  friend class SimDevice;
  mutable std::mutex mutex_;
  std::vector<Link> links_;
  bool computes_;
  SimTruth truth_;
  std::map<std::pair<DeviceId, DeviceId>, SimLink> links_busy_;
  SimLink all_links_busy_;  // where they carry one copy at a time, all together
  double host_seconds_ = 0;
};

class SimDevice : public Device {
 public:
  // `pool` runs the kernels; it may be shared with other devices.
  SimDevice(DeviceSpec spec, std::shared_ptr<SimMachine> machine, std::shared_ptr<ThreadPool> pool);
  ~SimDevice() override;

  // An accelerator somewhat faster than a small host, with `memory_bytes`; its target is this processor's.
  static DeviceSpec default_spec(int ordinal, int64_t memory_bytes);
  // Links between the host and each of `count` simulated devices, and between those.
  static std::vector<Link> default_links(const DeviceId& host, int count);

  void set_faults(const SimFaults& faults);
  bool is_lost() const;

  const DeviceSpec& spec() const override { return spec_; }
  void* try_allocate(int64_t bytes, int64_t alignment) override;
  void free(void* address) noexcept override;
  int64_t used_bytes() const override;
  std::shared_ptr<const LoadedImage> load(const KernelImage& image) override;
  int open_stream() override;
  void close_stream(int stream) noexcept override;
  void launch(int stream, const KernelLaunch& launch) override;
  void copy(int stream, BufferView destination, BufferView source, int64_t bytes, const char* name) override;
  void accumulate(int stream, void* destination, const void* source, DType dtype, int64_t count) override;
  Event record(int stream) override;
  void wait(int stream, const Event& event) override;
  double finish(const Event& event) override;

 private:
  struct LaunchCommand {
    KernelLaunch launch;
    std::vector<void*> buffers;  // as they were when it was given
    std::vector<int64_t> bytes;
  };
  struct CopyCommand {
    BufferView destination, source;
    int64_t bytes;
    const char* name;
  };
  struct AccumulateCommand {
    void* destination;
    const void* source;
    DType dtype;
    int64_t count;
  };
  struct WaitCommand {
    Event event;
  };
  struct RecordCommand {
    uint64_t number;
  };
  using Command = std::variant<LaunchCommand, CopyCommand, AccumulateCommand, WaitCommand, RecordCommand>;
  struct Stream {
    std::deque<std::pair<Command, double>> commands;  // with the host's time when they were given
    double seconds = 0;                               // when what it has done so far was done
    uint64_t recorded = 0, completed = 0;             // numbers of events
    std::map<uint64_t, double> times;                 // of completed events
  };
  struct Allocation {
    int64_t bytes;
    std::unique_ptr<uint8_t[], void (*)(void*)> memory;
  };

  // All below: with the machine's lock held.
  void give(int stream, Command command);
  Stream& stream_at(int stream);
  double complete(const Event& event);
  bool run_next(Stream& stream, bool may_wait);
  void run(Stream& stream, const LaunchCommand& command);
  void run(Stream& stream, const CopyCommand& command);
  void run(Stream& stream, const AccumulateCommand& command);
  void count_command(const char* what, const char* name);
  void require_alive() const;
  uint8_t* try_translate(const void* address, int64_t bytes) const;
  uint8_t* translate(const void* address, int64_t bytes, const char* what, const char* name) const;
  double link_seconds(const CopyCommand& command) const;
  void queue_on_link(Stream& stream, const CopyCommand& command);

  DeviceSpec spec_;
  std::shared_ptr<SimMachine> machine_;
  std::shared_ptr<ThreadPool> pool_;
  SimFaults faults_;
  std::mt19937_64 random_;
  std::map<int, Stream> streams_;
  int next_stream_ = 1;
  std::map<uint64_t, Allocation> allocations_;
  uint64_t next_address_;
  int64_t used_ = 0;
  double busy_until_ = 0;  // it runs one kernel at a time
  std::string lost_;       // how it was lost; empty: it is not
};

}  // namespace placewright
