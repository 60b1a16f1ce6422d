#include "lt_products.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>

#include <fmt/format.h>

#include "placewright/base/checked.h"
#include "placewright/runtime/byte_cache.h"

namespace placewright {
namespace {

constexpr int64_t most_workspace = 32 << 20;  // what NVIDIA recommends for Hopper
constexpr int64_t workspace_alignment = 256;
constexpr float short_run = 0.1F;  // milliseconds: what takes less is timed again, several times over
constexpr int short_runs = 20;
constexpr float worth_it = 0.98F;  // of the kernel's time: what is no faster is not worth other sums

// Memory of a device that is given back.
class Scratch {
 public:
  Scratch(const std::function<void*(int64_t)>& allocate, std::function<void(void*)> free, int64_t bytes)
      : free_(std::move(free)), address_(allocate(bytes)) {}
  ~Scratch() {
    if (address_) free_(address_);
  }
  Scratch(const Scratch&) = delete;
  void* address() const { return address_; }

 private:
  std::function<void(void*)> free_;
  void* address_;
};

const KernelEntry& entry_in_image(const KernelLaunch& launch) {
  return launch.image->entries()[static_cast<size_t>(launch.entry)];
}

// Of memory that a launch has; that of an image which is none of ours may say anything.
bool has_buffers(const KernelLaunch& launch, const KernelEntry& entry) {
  const Contraction& c = *entry.contraction;
  std::vector<int> buffers = entry.written;
  buffers.insert(buffers.end(), {c.left.buffer, c.right.buffer, std::max(c.bias, 0)});
  if (entry.rest.empty()) buffers.push_back(c.result.buffer);
  const bool are_there =
      std::all_of(buffers.begin(), buffers.end(), [&](int b) { return b >= 0 && b < launch.buffer_count; });
  return are_there && (entry.rest.empty() || c.result.buffer == launch.buffer_count);
}

}  // namespace

LtProducts::LtProducts(CudaDevice& device, LibraryUse use) : device_(device), use_(std::move(use)) {}

LtProducts::~LtProducts() {
  if (handle_) library_->destroy(handle_);
}

bool LtProducts::open() {
  if (was_opened_) return handle_ != nullptr;
  was_opened_ = true;
  library_ = cuda::CublasLt::try_open(*device_.driver_,
                                      use_.folders ? use_.folders() : std::vector<std::filesystem::path>{}, nullptr);
  // It may be for a newer driver than there is: then it says so here.
  if (library_ && library_->create(&handle_) != 0) handle_ = nullptr;
  return handle_ != nullptr;
}

LtEntry& LtProducts::entry_of(const KernelLaunch& launch) {
  return static_cast<const LoadedCudaImage*>(launch.image)->library_entry(launch.entry);
}

void LtProducts::make_product(LtEntry& entry, const KernelLaunch& launch) {
  entry.was_tried = true;
  const KernelEntry& what = entry_in_image(launch);
  if (!has_buffers(launch, what) || !open()) return;
  entry.product = LtProduct::try_make(library_, handle_, *what.contraction);
  if (entry.product && !what.rest.empty())
    entry.sums_bytes = round_up(entry.product->result_bytes(), workspace_alignment);
}

std::optional<LtProducts::Run> LtProducts::find(CudaDevice::Stream& stream, const KernelLaunch& launch) {
  if (!use_.allowed || !entry_in_image(launch).contraction) return {};
  LtEntry& entry = entry_of(launch);
  if (!entry.was_tried) make_product(entry, launch);
  if (!entry.product) return {};
  Run run{&entry, entry.product->operands(buffers_of(launch))};
  if (!entry.product->suits(run.operands)) return {};
  if (entry.alignment == 0 || entry.alignment > run.operands.alignment) {
    entry.choice = choose(stream, launch, *entry.product, run.operands);
    entry.alignment = run.operands.alignment;
  }
  if (!is_chosen(entry)) return {};
  return run;
}

bool LtProducts::is_chosen(const LtEntry& entry) const {
  return entry.choice.by_library && !(is_short_ && entry.workspace_bytes() > 0);
}

bool LtProducts::start(CudaDevice::Stream& stream, const KernelLaunch& launch) {
  std::optional<Run> run = find(stream, launch);
  if (!run) return false;
  const LtChoice& choice = run->entry->choice;
  const int64_t sums = run->entry->sums_bytes, bytes = run->entry->workspace_bytes();
  auto* memory = static_cast<uint8_t*>(workspace_of(stream, bytes));
  if (sums > 0) run->operands.result = memory;
  if ((!memory && bytes > 0) || run->entry->product->run(choice.algorithm, run->operands, memory + sums,
                                                         choice.workspace_bytes, stream.handle) != 0) {
    drop(launch);
    return false;
  }
  if (sums > 0) device_.start_kernel(stream, launch, memory);
  return true;
}

bool LtProducts::still_fits(const KernelLaunch& launch, const LtChoice& choice) const {
  const LtEntry& entry = entry_of(launch);
  if (!is_chosen(entry) || entry.choice.to_text() != choice.to_text()) return false;
  const LtProduct::Operands operands = entry.product->operands(buffers_of(launch));
  return operands.alignment >= entry.alignment && entry.product->suits(operands);
}

void LtProducts::drop(const KernelLaunch& launch) { entry_of(launch).choice = {}; }

std::string LtProducts::performer(const KernelLaunch& launch) const {
  if (!entry_in_image(launch).contraction) return {};
  return is_chosen(entry_of(launch)) ? library_->name() : std::string();
}

void LtProducts::close(cuda::StreamObject* stream) {
  auto found = workspaces_.find(stream);
  if (found == workspaces_.end()) return;
  device_.free_now(found->second.address);
  workspaces_.erase(found);
}

bool LtProducts::release_workspaces() {
  bool had_any = false;
  for (auto& [stream, workspace] : workspaces_) {
    if (!workspace.address) continue;
    device_.check(device_.driver_->stream_synchronize(stream), "waiting for a workspace");
    device_.free_now(workspace.address);
    workspace = {};
    had_any = true;
  }
  return had_any;
}

// One a stream, so that what runs at the same time does not share one: results vary otherwise.
void* LtProducts::workspace_of(CudaDevice::Stream& stream, int64_t bytes) {
  Workspace& workspace = workspaces_[stream.handle];
  if (bytes <= workspace.bytes) return workspace.address;
  if (workspace.address) {
    device_.check(device_.driver_->stream_synchronize(stream.handle), "waiting for a workspace");
    device_.free_now(workspace.address);
  }
  workspace = {device_.allocate_now(bytes, workspace_alignment), bytes};
  if (!workspace.address) workspace.bytes = 0;
  return workspace.address;
}

LtChoice LtProducts::choose(CudaDevice::Stream& stream, const KernelLaunch& launch, const LtProduct& product,
                            const LtProduct::Operands& operands) {
  std::string key = fmt::format("product of matrices 1\n{} {}\n{}\n{}\n", device_.spec_.name, device_.spec_.target,
                                library_->name(), product.key(operands.alignment));
  const KernelEntry& entry = entry_in_image(launch);
  for (const KernelPhase& phase : entry.phases)
    key += fmt::format("kernel of {} x {}\n", phase.groups[0], phase.group_threads[0]);
  for (const KernelPhase& phase : entry.rest)
    key += fmt::format("rest of {} x {}\n", phase.groups[0], phase.group_threads[0]);
  if (!entry.rest.empty())
    for (int i = 0; i < launch.buffer_count; ++i) key += fmt::format("buffer of {}\n", launch.buffer_bytes[i]);
  if (auto known = choices_.find(key); known != choices_.end()) return known->second;
  if (use_.kept)
    if (std::optional<std::vector<uint8_t>> bytes = use_.kept->load(key))
      if (std::optional<LtChoice> kept = LtChoice::try_parse({bytes->begin(), bytes->end()});
          kept && (!kept->by_library || (kept->workspace_bytes <= most_workspace && product.can_run(*kept, operands))))
        return choices_[key] = *kept;
  bool is_complete = true;
  const LtChoice choice = measure(stream, launch, product, is_complete);
  if (!is_complete) return choice;  // with more memory it may be another one: of this entry only
  const std::string text = choice.to_text();
  if (use_.kept) use_.kept->store(key, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return choices_[key] = choice;
}

// Milliseconds of one run; below 0 if it fails. The first run makes ready what later ones find.
float LtProducts::milliseconds(CudaDevice::Stream& stream, const std::function<bool()>& go) {
  const cuda::Driver& driver = *device_.driver_;
  cuda::EventObject* begin = device_.take_event();
  cuda::EventObject* end = device_.take_event();
  auto finish = [&] { device_.check(driver.stream_synchronize(stream.handle), "timing a product of matrices"); };
  auto timed = [&](int runs) {
    device_.check(driver.event_record(begin, stream.handle), "recording an event");
    bool good = true;
    for (int i = 0; i < runs && good; ++i) good = go();
    device_.check(driver.event_record(end, stream.handle), "recording an event");
    finish();
    float taken = 0;
    device_.check(driver.event_milliseconds(&taken, begin, end), "reading events");
    return good ? taken / static_cast<float>(runs) : -1;
  };
  float taken = go() ? 0.0F : -1.0F;
  finish();
  if (taken >= 0) taken = timed(1);
  if (taken >= 0 && taken < short_run) taken = timed(short_runs);
  for (cuda::EventObject* event : {begin, end}) device_.free_events_.push_back(event);
  return taken;
}

// Of what the library proposes; `least` is how long it takes.
LtChoice LtProducts::fastest(CudaDevice::Stream& stream, const LtProduct& product, const LtProduct::Operands& operands,
                             void* workspace, float& least) {
  LtChoice best;
  for (const cuda::LtCandidate& candidate : product.find(operands, workspace ? most_workspace : 0)) {
    const auto bytes = static_cast<int64_t>(candidate.workspace_bytes);
    const float taken = milliseconds(
        stream, [&] { return product.run(candidate.algorithm, operands, workspace, bytes, stream.handle) == 0; });
    if (taken < 0 || (best.by_library && taken >= least)) continue;
    if (!keeps_nan(stream, product, candidate, operands, workspace)) continue;
    best = {true, candidate.algorithm, bytes};
    least = taken;
  }
  return best;
}

// What the launch writes is scratch memory here: measuring changes nothing that a program has.
LtChoice LtProducts::measure(CudaDevice::Stream& stream, const KernelLaunch& launch, const LtProduct& product,
                             bool& is_complete) {
  auto allocate = [&](int64_t bytes) { return device_.allocate_now(bytes, workspace_alignment); };
  auto free = [&](void* address) { device_.free_now(address); };
  std::vector<void*> buffers(launch.buffers, launch.buffers + launch.buffer_count);
  std::deque<Scratch> written;
  for (int each : entry_in_image(launch).written) {
    const int64_t bytes = launch.buffer_bytes[each];
    void*& address = buffers[static_cast<size_t>(each)];
    void* scratch = written.emplace_back(allocate, free, bytes).address();
    is_complete = scratch != nullptr;
    if (!is_complete) return {};
    if (bytes > 0)
      device_.check(device_.driver_->copy_within(reinterpret_cast<cuda::Address>(scratch),
                                                 reinterpret_cast<cuda::Address>(address), static_cast<size_t>(bytes),
                                                 stream.handle),
                    "copying what a launch writes");
    address = scratch;
  }
  const int64_t sums_bytes = entry_of(launch).sums_bytes;
  Scratch sums(allocate, free, sums_bytes), workspace(allocate, free, most_workspace);
  is_complete = sums.address() && workspace.address();
  if (!sums.address()) return {};
  // As aligned as the true result is, and no more: a choice is for both.
  LtProduct::Operands operands = product.operands(buffers);
  operands.alignment = product.operands(buffers_of(launch)).alignment;
  if (sums_bytes > 0) operands.result = sums.address();

  device_.note(stream, launch.name);
  float least = 0;
  const LtChoice best = fastest(stream, product, operands, workspace.address(), least);
  if (!best.by_library) return best;
  KernelLaunch own = launch;
  own.buffers = buffers.data();
  own.status = nullptr;
  if (sums_bytes > 0)
    least = milliseconds(stream, [&] {
      if (product.run(best.algorithm, operands, workspace.address(), best.workspace_bytes, stream.handle) != 0)
        return false;
      device_.start_kernel(stream, own, sums.address());
      return true;
    });
  const float kernel = milliseconds(stream, [&] {
    device_.start_kernel(stream, own);
    return true;
  });
  return least < 0 || least > kernel * worth_it ? LtChoice() : best;
}

// What the library documents of its activations is max(x, 0), and nothing of NaN, which ours keeps.
bool LtProducts::keeps_nan(CudaDevice::Stream& stream, const LtProduct& product, const cuda::LtCandidate& candidate,
                           const LtProduct::Operands& operands, void* workspace) {
  const Contraction& contraction = product.contraction();
  if (contraction.activation == Contraction::Activation::none) return true;
  const cuda::Driver& driver = *device_.driver_;
  if (product.run_on_nan(candidate.algorithm, operands, workspace, static_cast<int64_t>(candidate.workspace_bytes),
                         stream.handle) != 0)
    return false;
  const auto last = static_cast<uint64_t>((contraction.columns - 1) * byte_size(contraction.dtype, 1));
  for (uint64_t at : {uint64_t{0}, last}) {
    float narrow = 0;
    double wide = 0;
    const bool is_f64 = contraction.dtype == DType::f64;
    void* to = is_f64 ? static_cast<void*>(&wide) : &narrow;
    device_.check(driver.copy_out(to, reinterpret_cast<cuda::Address>(operands.result) + at,
                                  is_f64 ? sizeof wide : sizeof narrow, stream.handle),
                  "copying to the host");
    device_.check(driver.stream_synchronize(stream.handle), "waiting for a stream");
    if (!std::isnan(is_f64 ? wide : static_cast<double>(narrow))) return false;
  }
  return true;
}

}  // namespace placewright
