// What ran when, on which stream of which device. Attach one to a Context; what is not attached costs nothing.
// Times of the host are real, those of a simulated device are on its virtual clock.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace placewright {

class Profiler {
 public:
  struct Record {
    std::string device;  // "cpu:0"; a process in the trace
    std::string track;   // the stream's name, or "steps"; a thread in the trace
    std::string name;
    std::string origin;
    double begin = 0, end = 0;   // seconds
    int64_t bytes = 0;           // of transfers
    std::string performer = {};  // a library that ran instead of the kernel (Device::performer)
  };
  // Time of one kernel or copy over all its runs.
  struct Summary {
    std::string device, name, origin;
    int64_t runs = 0;
    double total = 0, median = 0;
    std::string performer = {};
  };

  void add(std::vector<Record> records);  // from any thread
  std::vector<Record> records() const;
  std::vector<Summary> summary() const;  // steps left out; the longest in total first
  // Chrome's and Perfetto's JSON: complete events, one process a device, one thread a track.
  std::string chrome_trace() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::vector<Record> records_;
};

}  // namespace placewright
