#include "lt_products.h"

#include <cmath>
#include <cstring>

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
  Scratch(std::function<void*(int64_t)> allocate, std::function<void(void*)> free, int64_t bytes)
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

std::optional<LtProducts::Run> LtProducts::find(CudaDevice::Stream& stream, const KernelLaunch& launch) {
  const std::optional<Contraction>& contraction =
      launch.image->entries()[static_cast<size_t>(launch.entry)].contraction;
  if (!contraction || !use_.allowed) return {};
  LtEntry& entry = entry_of(launch);
  if (!entry.was_tried) {
    entry.was_tried = true;
    if (open()) entry.product = LtProduct::try_make(library_, handle_, *contraction);
  }
  if (!entry.product) return {};
  Run run{&entry, entry.product->operands(launch.buffers)};
  if (!entry.product->suits(run.operands)) return {};
  if (entry.alignment == 0 || entry.alignment > run.operands.alignment) {
    entry.choice = choose(stream, launch, *entry.product, run.operands);
    entry.alignment = run.operands.alignment;
  }
  if (!entry.choice.by_library) return {};
  return run;
}

bool LtProducts::start(CudaDevice::Stream& stream, const KernelLaunch& launch) {
  std::optional<Run> run = find(stream, launch);
  if (!run) return false;
  const LtChoice& choice = run->entry->choice;
  void* workspace = workspace_of(stream, choice.workspace_bytes);
  if ((workspace || choice.workspace_bytes == 0) &&
      run->entry->product->run(choice.algorithm, run->operands, workspace, choice.workspace_bytes, stream.handle) == 0)
    return true;
  drop(launch);
  return false;
}

bool LtProducts::still_fits(const KernelLaunch& launch, const LtChoice& choice) const {
  const LtEntry& entry = entry_of(launch);
  if (!entry.choice.by_library || entry.choice.to_text() != choice.to_text()) return false;
  const LtProduct::Operands operands = entry.product->operands(launch.buffers);
  return operands.alignment >= entry.alignment && entry.product->suits(operands);
}

void LtProducts::drop(const KernelLaunch& launch) { entry_of(launch).choice = {}; }

std::string LtProducts::performer(const KernelLaunch& launch) const {
  if (!launch.image->entries()[static_cast<size_t>(launch.entry)].contraction) return {};
  const LtEntry& entry = entry_of(launch);
  return entry.choice.by_library ? library_->name() : std::string();
}

void LtProducts::close(cuda::StreamObject* stream) {
  auto found = workspaces_.find(stream);
  if (found == workspaces_.end()) return;
  device_.free_now(found->second.address);
  workspaces_.erase(found);
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
  for (const KernelPhase& phase : launch.image->entries()[static_cast<size_t>(launch.entry)].phases)
    key += fmt::format("kernel of {} x {}\n", phase.groups[0], phase.group_threads[0]);
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

LtChoice LtProducts::measure(CudaDevice::Stream& stream, const KernelLaunch& launch, const LtProduct& product,
                             bool& is_complete) {
  const cuda::Driver& driver = *device_.driver_;
  auto allocate = [&](int64_t bytes) { return device_.allocate_now(bytes, workspace_alignment); };
  auto free = [&](void* address) { device_.free_now(address); };
  const int result_at = product.contraction().result.buffer;
  Scratch result(allocate, free, launch.buffer_bytes[result_at]);
  Scratch workspace(allocate, free, most_workspace);
  is_complete = result.address() && workspace.address();
  if (!result.address()) return {};
  std::vector<void*> buffers(launch.buffers, launch.buffers + launch.buffer_count);
  buffers[static_cast<size_t>(result_at)] = result.address();
  // As aligned as the true result is, and no more: a choice is for both.
  const LtProduct::Operands real = product.operands(launch.buffers);
  LtProduct::Operands operands = product.operands(buffers.data());
  operands.alignment = real.alignment;

  cuda::EventObject* begin = device_.take_event();
  cuda::EventObject* end = device_.take_event();
  auto finish = [&] { device_.check(driver.stream_synchronize(stream.handle), "timing a product of matrices"); };
  auto timed = [&](const auto& go, int runs) {
    device_.check(driver.event_record(begin, stream.handle), "recording an event");
    bool good = true;
    for (int i = 0; i < runs && good; ++i) good = go();
    device_.check(driver.event_record(end, stream.handle), "recording an event");
    finish();
    float milliseconds = 0;
    device_.check(driver.event_milliseconds(&milliseconds, begin, end), "reading events");
    return good ? milliseconds / static_cast<float>(runs) : -1;
  };
  // Milliseconds; below 0 if it fails. The first run makes ready what later ones find.
  auto time = [&](const auto& go) {
    const bool good = go();
    finish();
    if (!good) return -1.0F;
    const float once = timed(go, 1);
    return once >= 0 && once < short_run ? timed(go, short_runs) : once;
  };
  const int64_t bytes = workspace.address() ? most_workspace : 0;
  device_.note(stream, launch.name);
  LtChoice best;
  float least = 0;
  for (const cuda::LtCandidate& candidate : product.find(operands, bytes)) {
    const auto wanted = static_cast<int64_t>(candidate.workspace_bytes);
    auto go = [&] {
      return product.run(candidate.algorithm, operands, workspace.address(), wanted, stream.handle) == 0;
    };
    const float milliseconds = time(go);
    if (milliseconds < 0 || (best.by_library && milliseconds >= least)) continue;
    if (!keeps_nan(stream, product, candidate, operands, workspace.address())) continue;
    best = {true, candidate.algorithm, wanted};
    least = milliseconds;
  }
  if (best.by_library) {
    KernelLaunch own = launch;
    own.buffers = buffers.data();
    const float kernel = time([&] {
      device_.start_kernel(stream, own);
      return true;
    });
    if (least > kernel * worth_it) best = {};
  }
  for (cuda::EventObject* event : {begin, end}) device_.free_events_.push_back(event);
  return best;
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
