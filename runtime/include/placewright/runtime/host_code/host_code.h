// Machine code in this process: loads a relocatable ELF object for x86-64 whose only imports are a fixed table.
// Everything in the object is checked against its bounds; what the loader does not know, it refuses. No page is ever
// writable and executable at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace placewright {

class HostCode {
 public:
  // Error that names `name` and what is wrong with the object. The bytes are not needed afterwards.
  static std::shared_ptr<const HostCode> load(std::span<const uint8_t> object, const std::string& name);
  ~HostCode();
  HostCode(const HostCode&) = delete;

  // The address of a global function of the object; null if there is none.
  void* try_symbol(std::string_view symbol) const;
  int64_t mapped_bytes() const { return static_cast<int64_t>(size_); }

  // What objects may import: memory functions and libm. Null for anything else.
  static void* try_import(std::string_view symbol);

 private:
  HostCode() = default;
  friend class ObjectLoader;
  void* base_ = nullptr;
  size_t size_ = 0;
  std::map<std::string, void*, std::less<>> symbols_;
};

}  // namespace placewright
