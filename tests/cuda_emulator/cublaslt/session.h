// What the exports share: handles and descriptors that are alive, faults on purpose, and what was refused last.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "../library/library_work.h"
#include "cublaslt.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cublaslt_emulator {

struct Handle {
  cuda_emulator::Context* context = nullptr;
};

struct Session {
  std::recursive_mutex mutex;
  std::set<const void*> alive;    // handles and descriptors: others are refused, not read
  std::atomic<int64_t> runs = 0;  // products that ran on a device since the latest handle was made
};
Session& session();

// PLACEWRIGHT_CUBLASLT_EMULATOR as it is now: "version=110800,create=1,candidates=3,fail=2,check=7,slow=20,lose=1,
// relu=zero,log=/path".
class Options {
 public:
  Options();
  int64_t get(const std::string& name, int64_t otherwise) const;
  bool fails(int place) const;  // the candidate of that place: fail=2, fail=all
  bool drops_nan() const;       // relu=zero: of NaN, RELU makes 0
  int64_t version() const { return get("version", 130100); }
  void log(const std::string& line) const;

 private:
  std::map<std::string, std::string> values_;
};

// Says why, for cublasLtGetStatusString on this thread.
int refuse(int status, const std::string& why);

template <class Thing>
int make(Thing** made, Thing value) {
  if (!made) return refuse(invalid_value, "nowhere to put what is made");
  std::lock_guard lock(session().mutex);
  *made = new Thing(value);
  session().alive.insert(*made);
  return success;
}

// Null is none: so says the real library, but for handles.
template <class Thing>
int destroy(Thing* thing) {
  if (!thing) return success;
  std::lock_guard lock(session().mutex);
  if (session().alive.erase(thing) == 0) return refuse(invalid_value, "destroyed before, or never made");
  delete thing;
  return success;
}

inline bool is_alive(const void* thing) { return session().alive.contains(thing); }

}  // namespace cublaslt_emulator
