#include "placewright/runtime/cuda/cublaslt.h"

#include <cstdlib>

#include <fmt/format.h>

namespace placewright::cuda {
namespace {

constexpr const char* override_variable = "PLACEWRIGHT_LIBCUBLASLT";

}  // namespace

std::vector<std::string> CublasLt::names(int driver_major) {
  if (driver_major > 0 && driver_major < 13) return {"libcublasLt.so.12"};
  return {"libcublasLt.so.13", "libcublasLt.so.12"};
}

std::shared_ptr<const CublasLt> CublasLt::try_open(const Driver& driver,
                                                   const std::vector<std::filesystem::path>& folders,
                                                   std::vector<std::string>* reasons) {
  auto refuse = [&](std::string why) -> std::shared_ptr<const CublasLt> {
    if (reasons) reasons->push_back(std::move(why));
    return nullptr;
  };
  const char* wanted = std::getenv(override_variable);
  const bool stands_in = driver.takes_ptx_alone();
  if (stands_in && (!wanted || !*wanted))
    return refuse(
        fmt::format("{} stands in for a driver: it takes the library of {} alone", driver.path(), override_variable));
  std::optional<SharedLibrary> opened =
      SharedLibrary::try_open({names(driver.major()), folders, override_variable, true, true}, reasons);
  if (!opened) {
    if (wanted && *wanted && reasons)
      reasons->insert(reasons->begin(), fmt::format("{} names no library, correct or unset it", override_variable));
    return nullptr;
  }
  // Neither may see the other's addresses.
  if ((opened->try_symbol("placewright_takes_ptx_alone") != nullptr) != stands_in)
    return refuse(fmt::format("{} and {}: one stands in, the other does not", opened->path(), driver.path()));
  std::shared_ptr<CublasLt> library(new CublasLt(*opened));
  std::string missing;
  auto find = [&](const char* symbol) {
    void* address = opened->try_symbol(symbol);
    if (!address && missing.empty()) missing = symbol;
    return address;
  };
#define PLACEWRIGHT_FIND(name, symbol, parameters) \
  library->name = reinterpret_cast<LtStatus(*) parameters>(find(symbol));
  PLACEWRIGHT_CUBLASLT(PLACEWRIGHT_FIND)
#undef PLACEWRIGHT_FIND
  auto* version = reinterpret_cast<size_t (*)()>(find("cublasLtGetVersion"));
  library->status_name_ = reinterpret_cast<const char* (*)(int)>(find("cublasLtGetStatusName"));
  library->status_string_ = reinterpret_cast<const char* (*)(int)>(find("cublasLtGetStatusString"));
  if (!missing.empty()) return refuse(fmt::format("{} has no function {}", opened->path(), missing));
  const size_t number = version();
  library->name_ = fmt::format("cuBLASLt {}.{}.{}", number / 10000, number / 100 % 100, number % 100);
  if (number / 10000 < 12 || number / 10000 > 13)
    return refuse(fmt::format("{} is {}, expected 12 or 13", opened->path(), library->name_));
  return library;
}

std::string CublasLt::describe(LtStatus status) const {
  const char *name = status_name_(status), *text = status_string_(status);
  return fmt::format("{} ({}): {}", name ? name : "an unknown status", status, text ? text : "");
}

}  // namespace placewright::cuda
