// The report as a JSON document, for the formats that are made of it.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace placewright::tools {

struct PlacementReport;

nlohmann::ordered_json placement_document(const PlacementReport& report);

}  // namespace placewright::tools
