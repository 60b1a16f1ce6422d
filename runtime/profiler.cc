#include "placewright/runtime/profiler.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/core.h>

namespace placewright {
namespace {

std::string json(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      (quoted += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20)
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      quoted += c;
  }
  return quoted + "\"";
}

// Numbers of processes and threads, in the order of their names.
struct Tracks {
  std::map<std::string, int> processes;
  std::map<std::pair<std::string, std::string>, int> threads;
  std::map<std::string, double> start;  // of each device's clock

  explicit Tracks(const std::vector<Profiler::Record>& records) {
    for (const Profiler::Record& record : records) {
      processes[record.device];
      threads[{record.device, record.track}];
      auto [first, fresh] = start.emplace(record.device, record.begin);
      if (!fresh) first->second = std::min(first->second, record.begin);
    }
    int number = 0;
    for (auto& [device, process] : processes) process = ++number;
    number = 0;
    for (auto& [track, thread] : threads) thread = ++number;
  }
};

}  // namespace

void Profiler::add(std::vector<Record> records) {
  std::lock_guard lock(mutex_);
  records_.insert(records_.end(), std::make_move_iterator(records.begin()), std::make_move_iterator(records.end()));
}

std::vector<Profiler::Record> Profiler::records() const {
  std::lock_guard lock(mutex_);
  return records_;
}

void Profiler::clear() {
  std::lock_guard lock(mutex_);
  records_.clear();
}

std::vector<Profiler::Summary> Profiler::summary() const {
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::vector<double>> times;
  for (const Record& record : records())
    if (record.track != "steps")
      times[{record.device, record.name, record.origin, record.performer}].push_back(record.end - record.begin);
  std::vector<Summary> summaries;
  for (auto& [key, seconds] : times) {
    auto& [device, name, origin, performer] = key;
    std::sort(seconds.begin(), seconds.end());
    double total = 0;
    for (double second : seconds) total += second;
    summaries.push_back(
        {device, name, origin, static_cast<int64_t>(seconds.size()), total, seconds[seconds.size() / 2], performer});
  }
  auto rank = [](const Summary& summary) { return std::tie(summary.device, summary.name, summary.origin); };
  std::sort(summaries.begin(), summaries.end(), [&](const Summary& a, const Summary& b) {
    return a.total != b.total ? a.total > b.total : rank(a) < rank(b);
  });
  return summaries;
}

std::string Profiler::chrome_trace() const {
  std::vector<Record> all = records();
  Tracks tracks(all);
  std::string text = "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[";
  const char* separator = "\n";
  auto add = [&](const std::string& event) {
    (text += separator) += event;
    separator = ",\n";
  };
  for (const auto& [device, process] : tracks.processes)
    add(fmt::format(R"({{"ph":"M","name":"process_name","pid":{},"args":{{"name":{}}}}})", process, json(device)));
  for (const auto& [track, thread] : tracks.threads)
    add(fmt::format(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":{}}}}})",
                    tracks.processes[track.first], thread, json(track.second)));
  for (const Record& record : all) {
    const std::string by = record.performer.empty() ? "" : ",\"performer\":" + json(record.performer);
    add(fmt::format(
        R"({{"ph":"X","name":{},"pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"args":{{"origin":{},"bytes":{}{}}}}})",
        json(record.name), tracks.processes[record.device], tracks.threads[{record.device, record.track}],
        (record.begin - tracks.start[record.device]) * 1e6, (record.end - record.begin) * 1e6, json(record.origin),
        record.bytes, by));
  }
  return text + "\n]}\n";
}

}  // namespace placewright
