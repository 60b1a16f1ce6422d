// One peer (PyTorch, JAX, NumPy) in a child process that is driven line by line: bench/peers.py says how.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace placewright::tools {

class PeerProcess {
 public:
  // Starts `python script peer threads kind`, which computes on a device of that kind ("cpu"), and waits until it
  // answers. Error if it cannot start, or says why it cannot run.
  PeerProcess(const std::string& python, const std::string& script, const std::string& peer, int threads,
              const std::string& kind);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;

  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }
  // Whether it has the program; all forms of gemm count as "gemm".
  bool has(std::string_view program) const;

  void prepare(const std::string& program);
  // The values that the program gives, to be compared with ours.
  std::vector<double> check();
  struct Round {
    double microseconds = 0;  // of one step
    int64_t steps = 0;
    int64_t switches = 0;  // involuntary context switches meanwhile
  };
  Round round(int64_t steps);

 private:
  std::string ask(const std::string& line);  // the answer; Error if it is one, or none comes in time
  std::string read_line();
  [[noreturn]] void fail(const std::string& what) const;

  std::string name_, version_;
  std::vector<std::string> programs_;
  pid_t child_ = -1;
  int to_ = -1, from_ = -1;
  std::string pending_;  // read, but beyond the last line
};

}  // namespace placewright::tools
