#include <cstring>
#include <future>
#include <numeric>
#include <system_error>

#include <fmt/core.h>

#include "placewright/data.h"
#include "session_body.h"

namespace placewright::data {
namespace {

// Rows of `from` by number, as a tensor of its own.
HostTensor take_rows(const HostTensor& from, const int64_t* rows, int64_t count) {
  Sizes sizes = from.sizes();
  int64_t row_bytes = sizes[0] ? from.bytes() / sizes[0] : 0;
  sizes[0] = count;
  HostTensor taken(from.dtype(), std::move(sizes));
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(taken.raw() + i * row_bytes, from.raw() + rows[i] * row_bytes, static_cast<size_t>(row_bytes));
  return taken;
}

}  // namespace

TensorDataset::TensorDataset(HostTensor inputs, HostTensor targets)
    : inputs_(std::move(inputs)), targets_(std::move(targets)) {
  if (inputs_.sizes().empty() || targets_.sizes().empty() || inputs_.sizes()[0] != targets_.sizes()[0])
    throw Error(fmt::format("a data set of inputs {} and targets {}, expected the same number of samples in both",
                            to_string(inputs_.sizes()), to_string(targets_.sizes())));
}

struct DataLoader::Iterator::Pass {
  const TensorDataset& dataset;
  LoaderOptions options;
  std::vector<int64_t> order;
  int64_t next = 0;  // sample at which the next batch to be made begins
  std::future<std::optional<Batch>> ahead;

  ~Pass() {
    if (ahead.valid()) ahead.wait();
  }

  std::optional<Batch> make() {
    int64_t count = std::min(options.batch_size, dataset.size() - next);
    if (count <= 0 || (options.drop_last && count < options.batch_size)) return std::nullopt;
    const int64_t* rows = order.data() + next;
    next += count;
    return Batch{Tensor(take_rows(dataset.inputs(), rows, count), {}),
                 Tensor(take_rows(dataset.targets(), rows, count), {})};
  }

  std::optional<Batch> take() {
    std::optional<Batch> batch = ahead.valid() ? ahead.get() : make();
    if (batch && options.prefetch) try {
        ahead = std::async(std::launch::async, [this] { return make(); });
      } catch (const std::system_error&) {  // no thread to be had: made when it is asked for
      }
    return batch;
  }
};

DataLoader::DataLoader(const TensorDataset& dataset, LoaderOptions options) : dataset_(dataset), options_(options) {
  if (options.batch_size < 1) throw Error(fmt::format("a batch size of {}, expected 1 or more", options.batch_size));
}
int64_t DataLoader::epoch() const { return epoch_; }
void DataLoader::set_epoch(int64_t epoch) { epoch_ = epoch; }

int64_t DataLoader::batches() const {
  int64_t whole = dataset_.size() / options_.batch_size;
  return whole + (!options_.drop_last && dataset_.size() % options_.batch_size != 0);
}

DataLoader::Iterator DataLoader::begin() {
  Iterator iterator;
  iterator.pass_ = std::shared_ptr<Iterator::Pass>(new Iterator::Pass{dataset_, options_, {}, 0, {}});
  std::vector<int64_t>& order = iterator.pass_->order;
  order.resize(static_cast<size_t>(dataset_.size()));
  std::iota(order.begin(), order.end(), 0);
  if (options_.shuffle) {  // Fisher and Yates; the stream is the pass's number, so that any pass can be made again
    HostRandom random(options_.seed, static_cast<uint64_t>(epoch_));
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
  }
  ++epoch_;
  iterator.batch_ = iterator.pass_->take();
  return iterator;
}

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  batch_ = pass_->take();
  return *this;
}

}  // namespace placewright::data
