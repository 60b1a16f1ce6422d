// The functions of this process that generated code may call. A closed table: an object cannot reach anything else.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "placewright/runtime/host_code/host_code.h"

namespace placewright {
namespace {

struct Import {
  std::string_view name;
  void* address;
};

template <typename Function>
void* address_of(Function* function) {
  return reinterpret_cast<void*>(function);
}

#define PW_MATHS1(name)                                                      \
  Import{#name, address_of(static_cast<double (*)(double)>(name))}, Import { \
    #name "f", address_of(static_cast<float (*)(float)>(name))               \
  }
#define PW_MATHS2(name)                                                              \
  Import{#name, address_of(static_cast<double (*)(double, double)>(name))}, Import { \
    #name "f", address_of(static_cast<float (*)(float, float)>(name))                \
  }

const auto& table() {
  using namespace std;
  static const auto sorted = [] {
    array imports{
        Import{"memcpy", address_of(static_cast<void* (*)(void*, const void*, size_t)>(memcpy))},
        Import{"memmove", address_of(static_cast<void* (*)(void*, const void*, size_t)>(memmove))},
        Import{"memset", address_of(static_cast<void* (*)(void*, int, size_t)>(memset))},
        Import{"memcmp", address_of(static_cast<int (*)(const void*, const void*, size_t)>(memcmp))},
        PW_MATHS1(acos),
        PW_MATHS1(asin),
        PW_MATHS1(atan),
        PW_MATHS1(ceil),
        PW_MATHS1(cos),
        PW_MATHS1(cosh),
        PW_MATHS1(erf),
        PW_MATHS1(exp),
        PW_MATHS1(exp2),
        PW_MATHS1(expm1),
        PW_MATHS1(floor),
        PW_MATHS1(log),
        PW_MATHS1(log10),
        PW_MATHS1(log1p),
        PW_MATHS1(log2),
        PW_MATHS1(nearbyint),
        PW_MATHS1(rint),
        PW_MATHS1(round),
        PW_MATHS1(sin),
        PW_MATHS1(sinh),
        PW_MATHS1(sqrt),
        PW_MATHS1(tan),
        PW_MATHS1(tanh),
        PW_MATHS1(trunc),
        PW_MATHS2(atan2),
        PW_MATHS2(fmax),
        PW_MATHS2(fmin),
        PW_MATHS2(fmod),
        PW_MATHS2(pow),
        Import{"fma", address_of(static_cast<double (*)(double, double, double)>(fma))},
        Import{"fmaf", address_of(static_cast<float (*)(float, float, float)>(fma))},
    };
    sort(imports.begin(), imports.end(), [](const Import& a, const Import& b) { return a.name < b.name; });
    return imports;
  }();
  return sorted;
}

}  // namespace

void* HostCode::try_import(std::string_view symbol) {
  const auto& imports = table();
  auto found = std::lower_bound(imports.begin(), imports.end(), symbol,
                                [](const Import& import, std::string_view name) { return import.name < name; });
  return found != imports.end() && found->name == symbol ? found->address : nullptr;
}

}  // namespace placewright
