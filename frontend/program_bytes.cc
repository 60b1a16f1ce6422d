#include "program_bytes.h"

#include <cstring>

namespace placewright {
namespace {

constexpr uint64_t version = 6;

class Writer {
 public:
  void number(uint64_t value) { raw(&value, sizeof value); }
  void text(std::string_view text) {
    number(text.size());
    raw(text.data(), text.size());
  }
  void raw(const void* data, size_t size) {
    const auto* begin = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), begin, begin + size);
  }
  std::vector<uint8_t> bytes;
};

struct Damaged {};

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint64_t number() {
    uint64_t value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  // A count of things that take at least `each` bytes: never more than what is left can hold.
  uint64_t count(uint64_t each) {
    uint64_t value = number();
    if (value > bytes_.size() / each) throw Damaged{};
    return value;
  }
  std::string text() {
    std::span<const uint8_t> taken = take(number());
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  std::span<const uint8_t> take(uint64_t size) {
    if (size > bytes_.size()) throw Damaged{};
    std::span<const uint8_t> taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  bool is_empty() const { return bytes_.empty(); }

 private:
  std::span<const uint8_t> bytes_;
};

// The same fields in the same order, written and read.
template <class Contraction, class Field>
void each_number(Contraction& contraction, Field field) {
  for (auto* number : {&contraction.batch, &contraction.rows, &contraction.columns, &contraction.depth}) field(*number);
  for (auto* matrix : {&contraction.left, &contraction.right, &contraction.result})
    for (auto* number : {&matrix->offset, &matrix->row, &matrix->column, &matrix->batch}) field(*number);
}

void write(Writer& out, const std::optional<Contraction>& contraction) {
  out.number(contraction ? 1 : 0);
  if (!contraction) return;
  each_number(*contraction, [&](int64_t number) { out.number(static_cast<uint64_t>(number)); });
  for (int buffer : {contraction->left.buffer, contraction->right.buffer, contraction->result.buffer,
                     contraction->bias + 1})  // none: 0
    out.number(static_cast<uint64_t>(buffer));
  out.raw(&contraction->scale, sizeof contraction->scale);
  for (auto value : {static_cast<uint64_t>(contraction->dtype), static_cast<uint64_t>(contraction->precision),
                     static_cast<uint64_t>(contraction->activation)})
    out.number(value);
}

std::optional<Contraction> read_contraction(Reader& in) {
  if (in.number() == 0) return {};
  Contraction contraction;
  each_number(contraction, [&](int64_t& number) { number = static_cast<int64_t>(in.number()); });
  for (int* buffer :
       {&contraction.left.buffer, &contraction.right.buffer, &contraction.result.buffer, &contraction.bias})
    *buffer = static_cast<int>(in.number());
  --contraction.bias;
  std::memcpy(&contraction.scale, in.take(sizeof contraction.scale).data(), sizeof contraction.scale);
  contraction.dtype = static_cast<DType>(in.number());
  contraction.precision = static_cast<Precision>(in.number());
  contraction.activation = static_cast<Contraction::Activation>(in.number());
  return contraction;
}

void write(Writer& out, const std::vector<KernelPhase>& phases) {
  out.number(phases.size());
  for (const KernelPhase& phase : phases) {
    out.text(phase.symbol);
    out.number(static_cast<uint64_t>(phase.extent));
    out.number(static_cast<uint64_t>(phase.grain));
    for (int64_t size : phase.groups) out.number(static_cast<uint64_t>(size));
    for (int64_t size : phase.group_threads) out.number(static_cast<uint64_t>(size));
    out.number(static_cast<uint64_t>(phase.shared_bytes));
  }
}

std::vector<KernelPhase> read_phases(Reader& in) {
  std::vector<KernelPhase> phases(in.count(80));
  for (KernelPhase& phase : phases) {
    phase.symbol = in.text();
    phase.extent = static_cast<int64_t>(in.number());
    phase.grain = static_cast<int64_t>(in.number());
    for (int64_t& size : phase.groups) size = static_cast<int64_t>(in.number());
    for (int64_t& size : phase.group_threads) size = static_cast<int64_t>(in.number());
    phase.shared_bytes = static_cast<int64_t>(in.number());
  }
  return phases;
}

void write(Writer& out, const KernelImage& image) {
  out.text(image.format);
  out.text(image.target);
  out.number(image.abi_version);
  out.number(image.bytes.size());
  out.raw(image.bytes.data(), image.bytes.size());
  out.number(image.entries.size());
  for (const KernelEntry& entry : image.entries) {
    out.text(entry.name);
    write(out, entry.phases);
    out.number(entry.workspace_bytes.size());
    for (int64_t bytes : entry.workspace_bytes) out.number(static_cast<uint64_t>(bytes));
    write(out, entry.contraction);
    write(out, entry.rest);
    out.number(entry.written.size());
    for (int buffer : entry.written) out.number(static_cast<uint64_t>(buffer));
  }
  out.number(image.resources.size());
  for (const KernelResources& uses : image.resources) {
    out.text(uses.symbol);
    for (int64_t number : {uses.registers, uses.shared_bytes, uses.stack_bytes, uses.spill_store_bytes,
                           uses.spill_load_bytes, uses.resident_threads, uses.most_threads})
      out.number(static_cast<uint64_t>(number));
    out.text(uses.limit);
  }
}

KernelImage read_image(Reader& in) {
  KernelImage image;
  image.format = in.text();
  image.target = in.text();
  image.abi_version = static_cast<uint32_t>(in.number());
  std::span<const uint8_t> code = in.take(in.number());
  image.bytes.assign(code.begin(), code.end());
  image.entries.resize(in.count(32));
  for (KernelEntry& entry : image.entries) {
    entry.name = in.text();
    entry.phases = read_phases(in);
    entry.workspace_bytes.resize(in.count(8));
    for (int64_t& bytes : entry.workspace_bytes) bytes = static_cast<int64_t>(in.number());
    entry.contraction = read_contraction(in);
    entry.rest = read_phases(in);
    entry.written.resize(in.count(8));
    for (int& buffer : entry.written) buffer = static_cast<int>(in.number());
  }
  image.resources.resize(in.count(72));
  for (KernelResources& uses : image.resources) {
    uses.symbol = in.text();
    for (int64_t* number : {&uses.registers, &uses.shared_bytes, &uses.stack_bytes, &uses.spill_store_bytes,
                            &uses.spill_load_bytes, &uses.resident_threads, &uses.most_threads})
      *number = static_cast<int64_t>(in.number());
    uses.limit = in.text();
  }
  return image;
}

void write(Writer& out, const HostTensor& tensor) {
  out.number(static_cast<uint64_t>(tensor.dtype()));
  out.number(tensor.sizes().size());
  for (int64_t size : tensor.sizes()) out.number(static_cast<uint64_t>(size));
  out.raw(tensor.raw(), static_cast<size_t>(tensor.bytes()));
}

HostTensor read_tensor(Reader& in) {
  uint64_t dtype = in.number();
  if (dtype >= dtype_table().size()) throw Damaged{};
  Sizes sizes(in.count(8));
  for (int64_t& size : sizes) {
    size = static_cast<int64_t>(in.number());
    if (size < 0) throw Damaged{};
  }
  int64_t bytes = byte_size(static_cast<DType>(dtype), element_count(sizes));
  std::span<const uint8_t> data = in.take(static_cast<uint64_t>(bytes));
  HostTensor tensor(static_cast<DType>(dtype), std::move(sizes));
  if (bytes > 0) std::memcpy(tensor.raw(), data.data(), data.size());
  return tensor;
}

}  // namespace

std::vector<uint8_t> to_bytes(const KeptProgram& kept) {
  const CompiledProgram& compiled = kept.compiled;
  Writer out;
  out.number(version);
  out.text(print_program(compiled.program));
  out.number(compiled.images.size());
  for (const KernelImage& image : compiled.images) write(out, image);
  out.number(compiled.constants.size());
  for (const auto& [name, tensor] : compiled.constants) {
    out.text(name);
    write(out, tensor);
  }
  out.number(kept.conflicts.size());
  for (const std::string& line : kept.conflicts) out.text(line);
  out.number(static_cast<uint64_t>(kept.planned_step_bytes));
  return std::move(out.bytes);
}

std::optional<KeptProgram> try_from_bytes(std::span<const uint8_t> bytes) {
  try {
    Reader in(bytes);
    if (in.number() != version) return std::nullopt;
    KeptProgram kept;
    CompiledProgram& compiled = kept.compiled;
    compiled.program = parse_program(in.text());
    compiled.images.resize(in.count(8));
    for (KernelImage& image : compiled.images) image = read_image(in);
    for (uint64_t left = in.count(8); left > 0; --left) {
      std::string name = in.text();
      compiled.constants.emplace(std::move(name), read_tensor(in));
    }
    kept.conflicts.resize(in.count(8));
    for (std::string& line : kept.conflicts) line = in.text();
    kept.planned_step_bytes = static_cast<int64_t>(in.number());
    if (!in.is_empty()) return std::nullopt;
    return kept;
  } catch (const Damaged&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace placewright
