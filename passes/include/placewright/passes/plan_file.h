// A plan as a file under version control (docs/plan-files.md): ops are named by their origins, so that it outlives
// other edits of the program; a line each, in the graph's order. What is read may come from anywhere: it is checked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "placewright/ir/machine.h"
#include "placewright/passes/placement.h"

namespace placewright {

struct Profile;  // ir/profile.h

// Names of the entry function's ops that later captures give them too: "fc/forward#0:dot_general", "input:x", and with
// "+1" behind them for the next of the same name.
std::vector<std::string> op_keys(const Graph& graph);

struct PlanHeader {
  struct Device {
    DeviceId id;
    std::string name, hash;  // of all that the machine file says of it
    friend bool operator==(const Device&, const Device&) = default;
  };
  std::string model, model_hash;                                    // file or name, and the captured graph
  std::string machine_hash, profile_hash, compiler, compiler_hash;  // no profile: "none"
  std::vector<Device> devices;                                      // the host first
  std::vector<Link> links;
  std::map<std::string, int64_t> symbols;
  friend bool operator==(const PlanHeader&, const PlanHeader&) = default;
};

struct PlanFile {
  struct Row {
    std::string key;
    std::string type;  // of the results
    std::vector<DeviceId> devices;
    std::string cause;        // name(PlacementCause) with _ for spaces; "pin": the file's own, which acts as the user's
    std::string reason;       // empty where the cause says all
    int64_t nanoseconds = 0;  // by estimate
    SourceSite site, pinned;  // of the op, and of the program's pin
    int line = 0;             // in the file

    bool is_pin() const { return cause == "pin"; }
    bool says_the_same(const Row& other) const;  // all but the line
  };
  struct Transfer {
    std::string key;  // of the op whose result is copied
    DeviceId from, to;
    int64_t bytes = 0;
    bool at_load = false;
    std::string why;
    SourceSite site;
    friend bool operator==(const Transfer&, const Transfer&) = default;
  };
  // A value that leaves a memory that is too small, and comes back: what ReliefStep says of it.
  struct Relief {
    std::string how;  // name(ReliefKind) with _ for spaces
    std::string what;
    DeviceId device;
    int64_t bytes = 0, nanoseconds = 0;
    SourceSite site;
    friend bool operator==(const Relief&, const Relief&) = default;
  };
  struct Peak {
    DeviceId device;
    int64_t bytes = 0;
    friend bool operator==(const Peak&, const Peak&) = default;
  };
  // The problem that was solved, in numbers of rows, and the flow that bounds all its placements from below.
  struct Proof {
    std::vector<DeviceId> devices;
    std::vector<std::vector<int>> rows;  // of each group but the last, the host
    PlacementProblem problem;
    Labels labels;
    int64_t energy = 0;
    int64_t relief = 0;  // nanoseconds besides: what it takes to free memory
    Certificate certificate;

    bool is_optimal() const { return certificate.bound - energy == relief; }
  };

  std::string name;  // for messages: the file
  PlanHeader header;
  std::string objective;
  int64_t nanoseconds = 0;  // of a step
  int64_t bytes_per_step = 0, bytes_at_load = 0;
  std::vector<Peak> peaks;  // sorted by device
  std::vector<Row> rows;
  std::vector<Transfer> transfers;
  std::vector<Relief> relief;
  std::optional<Proof> proof;

  const Row* find(std::string_view key) const;  // null if there is none
  bool has_only_pins() const;                   // so that costs decide all else
  void index();                                 // after the rows changed
  std::vector<int> by_key;                      // rows, sorted
};

// `captured`: what the model's hash is of; `compiled`: the graph behind all passes, whose memory is planned. With
// `followed`, rows that stand where it says keep the cause that they have there.
PlanFile make_plan_file(const PlacementPlan& plan, const Graph& compiled, PlanHeader header,
                        const PlanFile* followed = nullptr);
std::string profile_hash(const Profile* profile);  // "none" without
PlanHeader make_plan_header(const Graph& captured, const Machine& machine, std::string profile_hash,
                            const std::map<std::string, int64_t>& symbols);
// What only the proof is made of; nothing on one device.
std::optional<PlanFile::Proof> make_proof(const PlacementPlan& plan);

// Without its proof if `with_proof` is false.
std::string print_plan_file(const PlanFile& plan, bool with_proof = true);
// Exact round trip. Error names `name` (the file), line and column, what was found and what was expected.
PlanFile parse_plan_file(std::string_view text, std::string_view name);

// The file's own pins alone: what a new plan has to respect.
PlanFile pins_of(const PlanFile& plan);

// Error if the file is of another model (no op of it is in the graph).
void require_plan_of(const PlanFile& plan, const std::vector<std::string>& keys);

enum class DriftClass : uint8_t { device, bytes, peak, time, cosmetic };
std::string_view name(DriftClass drift);

struct Drift {
  DriftClass kind = DriftClass::cosmetic;
  std::string what;  // the op's or value's name, or what else differs: "step", "peak of cpu:0"
  SourceSite site;   // the line that it is about, of the newer plan where it has one
  std::string was, now;
  std::string cause;  // names the pin, device, link or line that made the difference
};

// What differs between two plans, classes in their order, the largest difference first within bytes, peak and time.
// Times that differ by at most `tolerance` are cosmetic.
std::vector<Drift> find_drift(const PlanFile& before, const PlanFile& after, double tolerance = 0.03);

}  // namespace placewright
