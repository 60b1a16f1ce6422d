// Data sets in host memory and loaders that make batches of them, the next one while the step runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>

#include "placewright/tensor.h"

namespace placewright::data {

// An idx file (LeCun's MNIST format), plain or gzip, of u8, i32, f32 or f64 elements. Error names the file, what was
// found and expected; nothing is allocated that the file cannot fill.
HostTensor read_idx(const std::filesystem::path& path);

// Samples along the first dimension of both tensors; elements keep their dtype (images stay u8 until the step).
class TensorDataset {
 public:
  TensorDataset(HostTensor inputs, HostTensor targets);
  int64_t size() const { return inputs_.sizes()[0]; }
  const HostTensor& inputs() const { return inputs_; }
  const HostTensor& targets() const { return targets_; }

 private:
  HostTensor inputs_, targets_;
};

struct Batch {
  Tensor input, target;
};

struct LoaderOptions {
  int64_t batch_size = 1;
  bool shuffle = false;
  bool drop_last = false;  // otherwise the last batch may be smaller: a second specialisation of the step
  uint64_t seed = 0;       // of the order; each pass over the loader has another one, the same in every run
  bool prefetch = true;    // a thread makes the next batch while this one is used
};

// for (const Batch& batch : loader) ...: one pass over the data set, which must outlive the loader.
class DataLoader {
 public:
  DataLoader(const TensorDataset& dataset, LoaderOptions options);
  DataLoader(const TensorDataset&& dataset, LoaderOptions options) = delete;  // it would be gone
  int64_t batches() const;
  int64_t epoch() const;  // passes begun so far
  void set_epoch(int64_t epoch);

  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    const Batch& operator*() const { return *batch_; }
    const Batch* operator->() const { return &*batch_; }
    Iterator& operator++();
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !batch_; }

   private:
    friend class DataLoader;
    struct Pass;
    std::shared_ptr<Pass> pass_;
    std::optional<Batch> batch_;
  };
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

 private:
  const TensorDataset& dataset_;
  LoaderOptions options_;
  int64_t epoch_ = 0;
};

}  // namespace placewright::data
