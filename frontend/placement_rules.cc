#include "placewright/placement_rules.h"

#include "capture/node.h"
#include "placewright/base/file.h"

namespace placewright {

DeviceScope::DeviceScope(const DeviceId& device, Here where) {
  capture::require_device(device, capture::site_of(where));
  before_ = capture::replace_scope_pin(Pin{device, capture::to_source_site(capture::site_of(where))});
}
DeviceScope::~DeviceScope() { capture::replace_scope_pin(std::move(before_)); }

namespace rules {

PlacementRule pin(std::string pattern, std::string_view device, Here where) {
  return {PlacementRule::Kind::pin,
          std::move(pattern),
          {parse_device(device)},
          capture::to_source_site(capture::site_of(where))};
}

PlacementRule allow(std::string pattern, std::initializer_list<std::string_view> devices, Here where) {
  PlacementRule rule{
      PlacementRule::Kind::allow, std::move(pattern), {}, capture::to_source_site(capture::site_of(where))};
  for (std::string_view device : devices) rule.devices.push_back(parse_device(device));
  return rule;
}

PlacementRule together(std::string pattern, Here where) {
  return {PlacementRule::Kind::together, std::move(pattern), {}, capture::to_source_site(capture::site_of(where))};
}

std::vector<PlacementRule> read(const std::string& path) { return parse_placement_rules(read_text_file(path), path); }

}  // namespace rules
}  // namespace placewright
