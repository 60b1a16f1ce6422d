#include "placewright/ir/attribute.h"

#include <algorithm>
#include <bit>

namespace placewright {

Attributes::Attributes() = default;
Attributes::Attributes(const Attributes&) = default;
Attributes::Attributes(Attributes&&) noexcept = default;
Attributes& Attributes::operator=(const Attributes&) = default;
Attributes& Attributes::operator=(Attributes&&) noexcept = default;
Attributes::~Attributes() = default;
Attributes::Attributes(std::initializer_list<std::pair<std::string_view, Attribute>> entries) {
  for (const auto& [name, value] : entries) set(name, value);
}

void Attributes::set(std::string_view name, Attribute value) {
  Entries& entries = entries_.own();
  auto at = std::lower_bound(entries.begin(), entries.end(), name,
                             [](const auto& entry, std::string_view key) { return entry.first < key; });
  if (at != entries.end() && at->first == name)
    at->second = std::move(value);
  else
    entries.emplace(at, std::string(name), std::move(value));
}

const Attribute* Attributes::try_get(std::string_view name) const {
  for (const auto& [key, value] : *entries_)
    if (key == name) return &value;
  return nullptr;
}

void Attributes::broken_promise(std::string_view name) {
  detail::check_failed("the attribute is there, of its kind", __FILE__, __LINE__, "attribute " + std::string(name));
}

bool same_attribute(const Attribute& a, const Attribute& b) {
  if (a.index() != b.index()) return false;
  if (const auto* tensor = std::get_if<HostTensor>(&a)) return tensor->same_bytes(std::get<HostTensor>(b));
  if (const auto* number = std::get_if<double>(&a))
    return std::bit_cast<uint64_t>(*number) == std::bit_cast<uint64_t>(std::get<double>(b));
  return std::visit(
      [&]<typename T>(const T& value) {
        if constexpr (std::is_same_v<T, HostTensor>)
          return false;
        else
          return value == std::get<T>(b);
      },
      a);
}

bool operator==(const Attributes& a, const Attributes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && same_attribute(x.second, y.second);
  });
}

}  // namespace placewright
