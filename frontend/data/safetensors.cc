#include "placewright/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "capture/node.h"
#include "optim_body.h"
#include "placewright/base/checked.h"
#include "placewright/base/file.h"

namespace placewright {
namespace {

constexpr int64_t largest_header = 100 << 20;  // as the reference implementation
constexpr std::string_view optimizer_prefix = "optimizer.", random_prefix = "random.";

struct Spelling {
  std::string_view name;
  DType dtype;
};
constexpr std::array<Spelling, 8> spellings{{{"BOOL", DType::boolean},
                                             {"U8", DType::u8},
                                             {"I32", DType::i32},
                                             {"U32", DType::u32},
                                             {"I64", DType::i64},
                                             {"U64", DType::u64},
                                             {"F32", DType::f32},
                                             {"F64", DType::f64}}};

std::string_view spell(DType dtype) {
  for (const Spelling& each : spellings)
    if (each.dtype == dtype) return each.name;
  throw Error(
      fmt::format("safetensors: a tensor of {}, expected bool, u8, i32, u32, i64, u64, f32 or f64", name(dtype)));
}

[[noreturn]] void damaged(const std::filesystem::path& path, const std::string& what) {
  throw Error(fmt::format("{}: {}", path.string(), what));
}

HostTensor read_tensor(const std::filesystem::path& path, const std::string& name, const nlohmann::json& entry,
                       std::span<const uint8_t> data, std::vector<std::pair<int64_t, int64_t>>& ranges) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2)
    damaged(path, fmt::format("tensor '{}' has no dtype, shape and pair of data_offsets", name));
  std::string dtype = entry["dtype"];
  auto spelling = std::find_if(spellings.begin(), spellings.end(), [&](const Spelling& s) { return s.name == dtype; });
  if (spelling == spellings.end())
    damaged(path, fmt::format("tensor '{}' is {}, expected BOOL, U8, I32, U32, I64, U64, F32 or F64", name, dtype));
  Sizes sizes;
  for (const nlohmann::json& size : entry["shape"]) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > uint64_t{1} << 62)
      damaged(path, fmt::format("tensor '{}' has a size that is no size", name));
    sizes.push_back(size.get<int64_t>());
  }
  for (const nlohmann::json& offset : entry["data_offsets"])
    if (!offset.is_number_unsigned() || offset.get<uint64_t>() > data.size())
      damaged(path, fmt::format("tensor '{}' lies outside the file's {} bytes of data", name, data.size()));
  int64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
  int64_t bytes = info(spelling->dtype).bits / 8;
  for (int64_t size : sizes)
    if (__builtin_mul_overflow(bytes, size, &bytes))
      damaged(path,
              fmt::format("tensor '{}' of {}{} takes more bytes than 64 bits count", name, dtype, to_string(sizes)));
  if (end < begin || end - begin != bytes)
    damaged(path, fmt::format("tensor '{}' of {}{} takes {} bytes, found offsets {} to {}", name, dtype,
                              to_string(sizes), bytes, begin, end));
  ranges.emplace_back(begin, end);
  HostTensor tensor(spelling->dtype, std::move(sizes));
  if (bytes > 0) std::memcpy(tensor.raw(), data.data() + begin, static_cast<size_t>(bytes));
  return tensor;
}

// The states of random modules that the file has. Error if one is no (seed, counter).
std::vector<std::pair<Tensor, HostTensor>> find_random_states(const std::filesystem::path& path,
                                                              const nn::Module& model, const NamedTensors& tensors) {
  std::vector<std::pair<Tensor, HostTensor>> found;
  for (const nn::NamedParameter& each : model.named_random_states()) {
    auto at = tensors.find(std::string(random_prefix) + each.name);
    if (at == tensors.end()) continue;
    if (at->second.dtype() != each.tensor.dtype() || at->second.sizes() != each.tensor.sizes())
      damaged(path, fmt::format("tensor '{}' is {}{}, expected i64[2]: a seed and a counter", at->first,
                                name(at->second.dtype()), to_string(at->second.sizes())));
    found.emplace_back(each.tensor, at->second);
  }
  return found;
}

}  // namespace

NamedTensors read_safetensors(const std::filesystem::path& path) {
  std::vector<uint8_t> file = read_file(path);
  uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes) damaged(path, fmt::format("{} bytes are no safetensors file", file.size()));
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  if (header_bytes > largest_header || header_bytes > file.size() - sizeof header_bytes)
    damaged(path, fmt::format("a header of {} bytes in a file of {}: no safetensors file, or truncated", header_bytes,
                              file.size()));
  const char* text = reinterpret_cast<const char*>(file.data() + sizeof header_bytes);
  nlohmann::json header = nlohmann::json::parse(text, text + header_bytes, nullptr, false);
  if (!header.is_object()) damaged(path, "its header is no JSON object: no safetensors file, or damaged");
  std::span<const uint8_t> data = std::span(file).subspan(sizeof header_bytes + header_bytes);
  NamedTensors tensors;
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const auto& [name, entry] : header.items())
    if (name != "__metadata__") tensors.emplace(name, read_tensor(path, name, entry, data, ranges));
  std::sort(ranges.begin(), ranges.end());
  int64_t at = 0;
  for (auto [begin, end] : ranges) {
    if (begin != at)
      damaged(path, fmt::format("bytes {} to {} of its data belong to no tensor, or to two", std::min(at, begin),
                                std::max(at, begin)));
    at = end;
  }
  if (at != static_cast<int64_t>(data.size()))
    damaged(path, fmt::format("{} bytes of data, expected {}", data.size(), at));
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  int64_t offset = 0;
  if (tensors.count("__metadata__"))
    damaged(path, "not written: a tensor is named '__metadata__', which readers take for something else: rename it");
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", spell(tensor.dtype())},
                    {"shape", tensor.sizes()},
                    {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    damaged(path, "not written: a tensor's name is no UTF-8 text: rename it");
  }
  text.resize(static_cast<size_t>((text.size() + 7) / 8 * 8), ' ');
  uint64_t size = text.size();
  AtomicFile file(path);
  file.write({reinterpret_cast<const uint8_t*>(&size), sizeof size});
  file.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  for (const auto& [name, tensor] : tensors) file.write({tensor.raw(), static_cast<size_t>(tensor.bytes())});
  file.commit();
}

void save(const std::filesystem::path& path, const nn::Module& model, const optim::Optimizer* optimizer) {
  NamedTensors tensors;
  for (const nn::NamedParameter& each : model.named_parameters()) tensors.emplace(each.name, each.tensor.value());
  if (optimizer)
    for (const nn::NamedParameter& each : optimizer->named_state())
      tensors.emplace(std::string(optimizer_prefix) + each.name, each.tensor.value());
  if (optimizer)
    for (const nn::NamedParameter& each : model.named_random_states())
      tensors.emplace(std::string(random_prefix) + each.name, each.tensor.value());
  write_safetensors(path, tensors);
}

void load(const std::filesystem::path& path, nn::Module& model, optim::Optimizer* optimizer) {
  NamedTensors tensors = read_safetensors(path);
  std::vector<nn::NamedParameter> parameters = model.named_parameters();
  for (const nn::NamedParameter& each : parameters) {
    auto at = tensors.find(each.name);
    if (at == tensors.end()) damaged(path, fmt::format("has no tensor '{}', which the model needs", each.name));
    if (at->second.dtype() != each.tensor.dtype() || at->second.sizes() != each.tensor.sizes())
      damaged(path,
              fmt::format("tensor '{}' is {}{}, expected {}{}", each.name, name(at->second.dtype()),
                          to_string(at->second.sizes()), name(each.tensor.dtype()), to_string(each.tensor.sizes())));
  }
  std::vector<std::pair<Tensor, HostTensor>> random;
  if (optimizer) random = find_random_states(path, model, tensors);
  NamedTensors state;
  for (auto at = tensors.begin(); at != tensors.end();) {
    bool is_known = std::any_of(parameters.begin(), parameters.end(),
                                [&](const nn::NamedParameter& each) { return each.name == at->first; });
    if (!is_known && at->first.starts_with(optimizer_prefix))
      state.emplace(at->first.substr(optimizer_prefix.size()), at->second);
    else if (!is_known && !at->first.starts_with(random_prefix))
      damaged(path, fmt::format("tensor '{}' is none of the model's", at->first));
    at = is_known ? std::next(at) : tensors.erase(at);
  }
  if (optimizer) optim::check_state(*optimizer, state, path.string());
  for (const nn::NamedParameter& each : parameters) nn::set_value(each.tensor, tensors.at(each.name));
  if (optimizer) optim::set_state(*optimizer, state);
  for (const auto& [tensor, value] : random) nn::set_value(tensor, value);
}

}  // namespace placewright
