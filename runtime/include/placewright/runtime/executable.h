// A Program bound to devices, images and a StateStore: immutable, and callable from several threads at once, each with
// a Context of its own. Calls that update state take turns.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "placewright/ir/program.h"
#include "placewright/runtime/device.h"
#include "placewright/runtime/state_store.h"

namespace placewright {

class Profiler;
class Executable;

// Memory of one result, and what reading it takes: made by a context, for one result of its program.
class ResultMemory {
 public:
  ~ResultMemory();
  ResultMemory(const ResultMemory&) = delete;
  BufferView view() const;
  const Layout& layout() const;
  // In host memory, logical and row-major; from another device it is read back, and counted in the context's
  // read_back().
  HostTensor read() const;

 private:
  friend class Context;
  struct Body;
  explicit ResultMemory(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

// What one call at a time needs: arenas, results, streams, and pointer tables that are bound once. Not to be used by
// two threads at the same time. Keeps its Executable alive.
class Context {
 public:
  ~Context();
  Context(const Context&) = delete;

  // Result i of the last run; valid until the next run of this context.
  BufferView result(int i) const;
  // The same in host memory, logical and row-major; a result on another device is read back, and counted in
  // read_back().
  HostTensor read_result(int i) const;
  // Takes out the memory that the last run wrote result i to, and gives the next run other memory: what this call took
  // out before, or, for null, memory that the next run allocates.
  void exchange_result(int i, std::shared_ptr<ResultMemory>& other);

  // Transfers of the last run, as counted while they were performed; and of all read_result calls so far.
  TransferCount transfers() const;
  TransferCount read_back() const;
  int64_t arena_bytes(const DeviceId& device) const;

  // How its steps were given to the device: as a whole from the second on, where device and program allow it.
  struct StepCount {
    int64_t at_once = 0, piecewise = 0;
    std::string why_piecewise;  // empty while nothing speaks against giving them as a whole
  };
  const StepCount& steps() const;

  // Later runs are recorded; null switches off. Costs nothing when off.
  void set_profiler(Profiler* profiler);

 private:
  friend class Executable;
  struct Body;
  explicit Context(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

class Executable : public std::enable_shared_from_this<Executable> {
 public:
  struct Options {
    // Arenas get a canary before, between and after their buffers, and are filled with NaN before each run. For tests.
    bool check_memory = false;
    // A status word other than ok makes run throw Error, which names the kernel and its origin.
    bool check_status = true;
  };

  // Verifies the program, loads the images, puts states where the program wants them and constants on their devices.
  // Error, OutOfDeviceMemory or DeviceLost if that fails; then nothing was changed but places of states.
  static std::shared_ptr<const Executable> bind(CompiledProgram compiled, const DeviceSet& devices,
                                                std::shared_ptr<StateStore> states, Options options);
  static std::shared_ptr<const Executable> bind(CompiledProgram compiled, const DeviceSet& devices,
                                                std::shared_ptr<StateStore> states);
  ~Executable();

  const Program& program() const;
  // What moved when it was bound, to hold against the ledger's once lines; and lines for people about states that had
  // to leave the place or layout that an earlier executable gave them.
  TransferCount load_transfers() const;
  const std::vector<std::string>& notes() const;

  // The launches that are run by something else than their kernels (Device::performer), as far as they ran:
  // each with its origin.
  struct Performed {
    std::string origin, performer;
  };
  std::vector<Performed> performed() const;

  std::unique_ptr<Context> make_context() const;
  // Runs the step. Arguments in the program's order, on the devices that it says and of the bytes that it says; they
  // are read until run returns. Results are then ready in the context. After an error states may hold some of the new
  // values only if the program updates in place; a status of a kernel on the host ends the call before what follows it.
  void run(Context& context, std::span<const BufferView> arguments) const;
  // The same from host tensors, which must be row-major in the program too.
  void run(Context& context, std::span<const HostTensor> arguments) const;

 private:
  friend class Context;
  struct Body;
  explicit Executable(std::unique_ptr<Body> body);
  std::unique_ptr<Body> body_;
};

}  // namespace placewright
