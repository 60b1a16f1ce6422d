// Tests that run kernels on the processor are skipped, each with the reason, where nothing can make such kernels: in a
// build without LLVM. One list for all, and each name in it must be a test's.
#pragma once

#include <string_view>
#include <vector>

namespace placewright::testing {

// "Suite.*" or "Suite.Test", as they are listed, but for the number of a parameter. Where there is a code generator
// this does nothing. To be called while tests are registered.
bool skip_without_cpu_code(std::vector<std::string_view> names);

}  // namespace placewright::testing
