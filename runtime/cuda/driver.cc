#include "placewright/runtime/cuda/driver.h"

#include <fmt/format.h>

namespace placewright::cuda {

SharedLibrary::Search Driver::search() {
  // The loader first: LD_LIBRARY_PATH may name a driver of forward compatibility.
  return {{"libcuda.so.1"},
          {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib"},
          "PLACEWRIGHT_LIBCUDA",
          true,
          true};
}

std::shared_ptr<const Driver> Driver::try_open(std::vector<std::string>* reasons) {
  std::optional<SharedLibrary> library = SharedLibrary::try_open(search(), reasons);
  if (!library) return nullptr;
  std::shared_ptr<Driver> driver(new Driver(*library));
  std::string missing;
  auto find = [&](const char* symbol) {
    void* address = driver->library_.try_symbol(symbol);
    if (!address && missing.empty()) missing = symbol;
    return address;
  };
#define PLACEWRIGHT_FIND(name, symbol, parameters) driver->name = reinterpret_cast<Result(*) parameters>(find(symbol));
  PLACEWRIGHT_CUDA_DRIVER(PLACEWRIGHT_FIND)
#undef PLACEWRIGHT_FIND
  bool all = true;
#define PLACEWRIGHT_FIND(name, symbol, parameters)                                            \
  driver->name = reinterpret_cast<Result(*) parameters>(driver->library_.try_symbol(symbol)); \
  all = all && driver->name;
  PLACEWRIGHT_CUDA_GRAPHS(PLACEWRIGHT_FIND)
  driver->has_graph_functions_ = all;
  PLACEWRIGHT_CUDA_CAPTURE(PLACEWRIGHT_FIND)
  driver->has_capture_ = all;
#undef PLACEWRIGHT_FIND
  driver->takes_ptx_alone_ = driver->library_.try_symbol("placewright_takes_ptx_alone") != nullptr;
  if (missing.empty()) return driver;
  if (reasons) reasons->push_back(fmt::format("{} has no function {}", library->path(), missing));
  return nullptr;
}

int Driver::major() const {
  int version = 0;
  return driver_version(&version) == 0 ? version / 1000 : 0;
}

bool Driver::has_graphs() const { return has_graph_functions_ && major() >= 12; }

std::string Driver::describe(Result result) const {
  const char *name = nullptr, *text = nullptr;
  if (error_name(result, &name) != 0 || !name) name = "an unknown error";
  if (error_string(result, &text) != 0 || !text) text = "the driver does not say what it means";
  return fmt::format("{} ({}): {}", name, result, text);
}

bool is_sticky(Result result) {
  switch (result) {
    case 4:    // deinitialised
    case 46:   // device unavailable
    case 214:  // uncorrectable ECC error
    case 220:  // uncorrectable NVLink error
    case 226:  // contained error
    case 721:  // tensor memory that was not given back
    case 810:  // the MPS server ended this client
    case 911:  // a fault of another device
      return true;
    default:  // illegal address ... launch failed; not: invalid handle and the like, not ready, peer access
      return result == 700 || result == 702 || result == 709 || result == 710 || (result >= 714 && result <= 719) ||
             result == 999;
  }
}

}  // namespace placewright::cuda
