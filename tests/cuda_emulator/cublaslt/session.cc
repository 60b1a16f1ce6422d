#include "session.h"

#include <cstdlib>
#include <fstream>

namespace cublaslt_emulator {
namespace {

thread_local std::string reason;
thread_local int refused = 0;

struct Named {
  int status;
  const char *name, *text;
};
constexpr Named names[] = {
    {success, "CUBLAS_STATUS_SUCCESS", "success"},
    {not_initialised, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {allocation_failed, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {invalid_value, "CUBLAS_STATUS_INVALID_VALUE", "an unsupported value or parameter was passed to the function"},
    {architecture_mismatch, "CUBLAS_STATUS_ARCH_MISMATCH",
     "the function requires an architectural feature absent from the device"},
    {mapping_error, "CUBLAS_STATUS_MAPPING_ERROR", "an access to GPU memory space failed"},
    {execution_failed, "CUBLAS_STATUS_EXECUTION_FAILED", "the function failed to launch on the GPU"},
    {internal_error, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {not_supported, "CUBLAS_STATUS_NOT_SUPPORTED", "the requested functionality is not supported"},
    {license_error, "CUBLAS_STATUS_LICENSE_ERROR", "the license check failed"}};

const Named* find_name(int status) {
  for (const Named& named : names)
    if (named.status == status) return &named;
  return nullptr;
}

}  // namespace

Session& session() {
  static Session& only = *new Session;  // outlives whoever is destroyed at exit
  return only;
}

int refuse(int status, const std::string& why) {
  reason = why;
  refused = status;
  return status;
}

Options::Options() {
  const char* text = std::getenv("PLACEWRIGHT_CUBLASLT_EMULATOR");
  std::string all = text ? text : "";
  for (size_t begin = 0; begin < all.size();) {
    size_t end = std::min(all.find(',', begin), all.size()), equals = all.find('=', begin);
    if (equals < end) values_[all.substr(begin, equals - begin)] = all.substr(equals + 1, end - equals - 1);
    begin = end + 1;
  }
}

int64_t Options::get(const std::string& name, int64_t otherwise) const {
  auto found = values_.find(name);
  return found == values_.end() ? otherwise : std::atoll(found->second.c_str());
}

bool Options::fails(int place) const {
  auto found = values_.find("fail");
  return found != values_.end() && (found->second == "all" || std::atoll(found->second.c_str()) == place);
}

bool Options::drops_nan() const {
  auto found = values_.find("relu");
  return found != values_.end() && found->second == "zero";
}

void Options::log(const std::string& line) const {
  auto found = values_.find("log");
  if (found != values_.end()) std::ofstream(found->second, std::ios::app) << line << "\n";
}

}  // namespace cublaslt_emulator

using namespace cublaslt_emulator;

// That this library is for the emulated driver alone is seen by that one's export, which whoever looks here finds too.

EXPORT size_t cublasLtGetVersion() { return static_cast<size_t>(Options().version()); }

EXPORT size_t cublasLtGetCudartVersion() { return 13000; }

EXPORT const char* cublasLtGetStatusName(int status) {
  const Named* named = find_name(status);
  return named ? named->name : "unrecognized status";
}

// With what the emulator knows of this thread's latest such status.
EXPORT const char* cublasLtGetStatusString(int status) {
  if (status != success && status == refused) return reason.c_str();
  const Named* named = find_name(status);
  return named ? named->text : "unrecognized status";
}
