// Where a program's ops run, said for many at once: inside a scope, or by name. docs/placement.md, "What the user
// says".
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/tensor.h"

namespace placewright {

// While it lives, what this thread makes is pinned to the device: ops, tensors, parameters of modules; not what is
// moved elsewhere by `.to` meanwhile, and not gradients, which run where their forward ops do. Scopes may nest. Error
// if the session has no such device.
class DeviceScope {
 public:
  explicit DeviceScope(const DeviceId& device, Here where = Here::current());
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;

 private:
  std::optional<Pin> before_;
};

// What `body` returns, made in a DeviceScope: `Tensor y = with_device("sim:0", [&] { return model(x); });`
template <typename Body>
decltype(auto) with_device(std::string_view device, Body&& body, Here where = Here::current()) {
  DeviceScope scope(parse_device(device), where);
  return std::forward<Body>(body)();
}

// For CompileOptions::rules; of patterns see PlacementRule.
namespace rules {
PlacementRule pin(std::string pattern, std::string_view device, Here where = Here::current());
PlacementRule allow(std::string pattern, std::initializer_list<std::string_view> devices, Here where = Here::current());
PlacementRule together(std::string pattern, Here where = Here::current());
// Error names the file, line and column.
std::vector<PlacementRule> read(const std::string& path);
}  // namespace rules

}  // namespace placewright
