// The inside of Executable and Context: a program with its images, devices and constants, and what one call needs.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "placewright/runtime/executable.h"
#include "placewright/runtime/profiler.h"

namespace placewright {

// An instruction of a block, with what the executor looks up once: its launch and the event that a Wait asks for.
struct BoundInstruction {
  const Instruction* instruction = nullptr;
  int launch = -1;
  bool is_judged = false;  // of a launch: its status is known when it returns, and must be ok
  int event = -1;          // to be recorded behind it; of a Wait: the one it waits for
  std::string name;        // for errors and traces
};

struct BoundLaunch {
  const Launch* launch = nullptr;
  std::shared_ptr<const LoadedImage> image;
  int entry = 0;
  std::string name;  // the entry and its origin
};

struct Executable::Body {
  CompiledProgram compiled;
  std::shared_ptr<StateStore> states;
  Options options;
  std::shared_ptr<Device> host;
  std::vector<std::shared_ptr<Device>> stream_devices;  // of each stream
  std::vector<std::shared_ptr<Device>> arena_devices;   // of each arena
  std::vector<std::shared_ptr<Device>> buffer_devices;  // of each buffer
  std::vector<BoundLaunch> launches;
  std::vector<std::vector<BoundInstruction>> blocks;
  int events = 0;
  std::vector<DeviceMemory> constants;    // of each buffer that is one, but for those that the host's tensor serves
  std::vector<void*> constant_addresses;  // of each buffer
  TransferCount load_transfers;
  std::vector<std::string> notes;
  std::string why_piecewise;  // why steps cannot be given to a device as a whole; empty: they can

  const Program& program() const { return compiled.program; }

  void find_devices(const DeviceSet& devices);
  void bind_blocks(const DeviceSet& devices);
  void load_constants();
  void require_on_host(int condition) const;
  std::string find_why_piecewise() const;
  // Puts every state where the program wants it; the lines are for people.
  void put_states(const StateStore::Lease& lease, TransferCount* count, std::vector<std::string>* notes) const;
  bool states_in_place(const StateStore::Lease& lease) const;
};

// Memory for several payloads. With `guard`, canaries stand before, between and behind them, and the payloads are NaN.
class GuardedMemory {
 public:
  struct Payload {
    int64_t bytes;
    int64_t alignment;
    std::string what;
  };
  GuardedMemory() = default;
  GuardedMemory(const std::shared_ptr<Device>& device, const std::vector<Payload>& payloads, bool guard,
                const std::string& what);

  void* address(size_t payload) const { return static_cast<char*>(memory_.address()) + offsets_[payload]; }
  void poison(const std::shared_ptr<Device>& host) const;
  void check(const std::shared_ptr<Device>& host) const;  // Error that names the payload beside a changed canary
  int64_t bytes() const { return memory_.bytes(); }

 private:
  std::vector<uint8_t> pattern() const;
  DeviceMemory memory_;
  std::vector<Payload> payloads_;
  std::vector<int64_t> offsets_;
};

// Results that were read back from devices whose memory is not the host's, by whoever held them.
struct ReadBack {
  std::atomic<int64_t> bytes{0}, copies{0};
};

struct ResultMemory::Body {
  GuardedMemory memory;
  std::shared_ptr<Device> device, host;
  std::string name;
  DType dtype;
  Sizes sizes;
  Layout layout;
  int64_t bytes;
  std::shared_ptr<ReadBack> read_back;
};

// A step as the items of one device, in the order of its block.
struct StepItems {
  Device* device = nullptr;
  int stream = 0;  // of the program: one of the device's
  std::vector<WorkItem> items;
  std::vector<DeviceCopy> copies;
  std::vector<const Copy*> copied;  // of each: its instruction
  TransferCount transfers;
  std::unique_ptr<PreparedWork> prepared;
};

struct Context::Body {
  std::shared_ptr<const Executable> executable;
  const Executable::Body* bound = nullptr;
  std::vector<Device*> stream_devices;
  std::vector<int> streams;                             // on their devices
  std::vector<int> asynchronous;                        // streams to be joined at the end
  std::vector<GuardedMemory> arenas, workspaces;        // workspaces of each stream, shared by its launches
  std::vector<std::shared_ptr<ResultMemory>> results;   // null when taken out
  std::vector<std::pair<int, DeviceMemory>> allocated;  // buffers, by Allocate, until the call ends
  std::vector<void*> addresses;                         // of each buffer that is no view
  std::vector<KernelLaunch> launches;
  std::vector<void*> table;  // the pointer tables of all launches
  std::vector<int64_t> table_bytes;
  std::vector<std::vector<size_t>> slots;  // of each buffer: where it stands in `table`
  std::vector<uint64_t> statuses;          // of each launch
  std::vector<Event> events;
  uint64_t generation = 0;  // of the states' addresses; 0: none yet
  bool results_taken = false;
  TransferCount transfers;
  std::shared_ptr<ReadBack> read_back = std::make_shared<ReadBack>();
  Profiler* profiler = nullptr;
  struct Pending {  // on a stream whose times are known when it has been joined
    size_t record;
    Event begin, end;
  };
  std::vector<Profiler::Record> records;
  std::vector<Pending> pending;
  StepCount steps;
  std::unique_ptr<StepItems> whole_step;  // of a context that gives its steps as a whole

  explicit Body(const Executable::Body& bound);
  ~Body();

  void set_address(int buffer, void* address) {
    addresses[static_cast<size_t>(buffer)] = address;
    for (size_t slot : slots[static_cast<size_t>(buffer)]) table[slot] = address;
  }
  void* address(int buffer) const { return addresses[static_cast<size_t>(memory_of(bound->program(), buffer))]; }
  BufferView view(int buffer) const;

  void make_arenas();
  void make_launches();
  void make_results();
  void open_streams();
  void close_streams() noexcept;

  void bind_states(const StateStore::Lease& lease);
  void return_states(const StateStore::Lease& lease);
  void bind_arguments(std::span<const BufferView> arguments);
  void poison_memory();
  void check_memory() const;
  void check_statuses() const;

  void run(const StateStore::Lease& lease, std::span<const BufferView> arguments);
  void run_load(const StateStore::Lease& lease);
  void run_guarded(int block);
  template <bool profiled>
  void run_whole(int block);
  bool run_at_once();
  std::unique_ptr<StepItems> make_step_items();
  template <bool profiled>
  void run_block(int block);
  template <bool profiled>
  void run_control(const Instruction& instruction);
  template <bool profiled, typename Work>
  void timed(const BoundInstruction& step, Work work);
  void run_copy(const BoundInstruction& step, const Copy& instruction);
  void run_all_reduce(const Collective& collective);
  void copy(int stream, int destination, int source, const char* name);
  Event record(int stream);
  void wait(int stream, const Event& event);
  void allocate(const Allocate& instruction);
  bool condition(int buffer) const;
  void update_states();
  void join();
  void count_transfer(int64_t bytes);
  void finish_profile(double begin);
};

}  // namespace placewright
