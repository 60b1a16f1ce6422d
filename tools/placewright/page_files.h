// The files of tools/placewright/page/, which the build turns into strings.
#pragma once

#include <string_view>

namespace placewright::tools {

std::string_view page_template();
std::string_view page_style();
std::string_view page_script();

}  // namespace placewright::tools
