// Descriptors of the real cuBLASLt, which needs no GPU for them: what they take and refuse, the emulator's do too.
#include <dlfcn.h>

#include <gtest/gtest.h>

#include "cublaslt_calls.h"

namespace cuda_emulator {
namespace {

// What both answer: statuses, one after the other.
struct Library {
  decltype(&cublasLtMatmulDescCreate) make_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatrixLayoutCreate) make_layout;
  decltype(&cublasLtMatrixLayoutSetAttribute) set_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) make_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusName) name;
};

constexpr Library emulator{&cublasLtMatmulDescCreate,
                           &cublasLtMatmulDescSetAttribute,
                           &cublasLtMatmulDescDestroy,
                           &cublasLtMatrixLayoutCreate,
                           &cublasLtMatrixLayoutSetAttribute,
                           &cublasLtMatrixLayoutDestroy,
                           &cublasLtMatmulPreferenceCreate,
                           &cublasLtMatmulPreferenceSetAttribute,
                           &cublasLtMatmulPreferenceDestroy,
                           &cublasLtMatmulAlgoGetHeuristic,
                           &cublasLtCreate,
                           &cublasLtDestroy,
                           &cublasLtGetStatusName};

bool open_real(Library* real) {
  void* handle = nullptr;
  for (const char* path :
       {"libcublasLt.so.13", "/usr/local/cuda/lib64/libcublasLt.so.13", "/usr/local/cuda/lib/libcublasLt.so.13"})
    if (!handle) handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return false;
  auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle, symbol));
    EXPECT_TRUE(function) << symbol;
  };
  find(real->make_operation, "cublasLtMatmulDescCreate");
  find(real->set_operation, "cublasLtMatmulDescSetAttribute");
  find(real->destroy_operation, "cublasLtMatmulDescDestroy");
  find(real->make_layout, "cublasLtMatrixLayoutCreate");
  find(real->set_layout, "cublasLtMatrixLayoutSetAttribute");
  find(real->destroy_layout, "cublasLtMatrixLayoutDestroy");
  find(real->make_preference, "cublasLtMatmulPreferenceCreate");
  find(real->set_preference, "cublasLtMatmulPreferenceSetAttribute");
  find(real->destroy_preference, "cublasLtMatmulPreferenceDestroy");
  find(real->find, "cublasLtMatmulAlgoGetHeuristic");
  find(real->create, "cublasLtCreate");
  find(real->destroy, "cublasLtDestroy");
  find(real->name, "cublasLtGetStatusName");
  return !::testing::Test::HasFailure();
}

// Every attribute that the emulator has, with every size and with values that mean nothing.
using Answers = std::vector<std::pair<std::string, int>>;

template <class Set>
void try_attributes(const std::string& what, Set set, void* descriptor, const std::vector<int>& attributes,
                    Answers* answers) {
  for (int attribute : attributes)
    for (uint64_t value : {1, 9999})
      for (size_t bytes : {0, 1, 2, 4, 8, 16}) {
        uint64_t values[2] = {value, 0};
        answers->emplace_back(what + " " + std::to_string(attribute) + " of " + std::to_string(bytes) + " bytes",
                              set(descriptor, attribute, values, bytes));
      }
  uint64_t value = 0;
  answers->emplace_back(what + " from nowhere", set(descriptor, attributes[0], nullptr, 4));
  answers->emplace_back(what + " 99", set(descriptor, 99, &value, 4));
  answers->emplace_back(what + " of no descriptor", set(nullptr, attributes[0], &value, 4));
}

Answers answers(const Library& library) {
  void *operation = nullptr, *layout = nullptr, *preference = nullptr;
  Answers all;
  auto note = [&](int status) { all.emplace_back(std::to_string(all.size()), status); };
  for (auto [compute, scale] : {std::pair{68, 0}, {68, 1}, {70, 0}, {5, 77}}) {
    note(library.make_operation(&operation, compute, scale));
    if (compute != 5) note(library.destroy_operation(operation));
  }
  note(library.make_operation(nullptr, 68, 0));
  try_attributes("operation", library.set_operation, operation, {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 26}, &all);
  for (int64_t leading : {4, 3, 0, -1}) {
    note(library.make_layout(&layout, leading == 4 ? 0 : 77, 4, leading == 0 ? 0 : 3, leading));
    if (leading != -1) note(library.destroy_layout(layout));
  }
  note(library.make_layout(nullptr, 0, 4, 3, 4));
  try_attributes("layout", library.set_layout, layout, {0, 1, 2, 3, 4, 5, 6}, &all);
  note(library.make_preference(&preference));
  note(library.make_preference(nullptr));
  try_attributes("preference", library.set_preference, preference, {0, 1, 3, 5, 6, 7, 8}, &all);
  LtFound found[2];
  int count = 0;
  note(library.find(nullptr, operation, layout, layout, layout, layout, preference, 2, found, &count));
  note(library.destroy_operation(operation));
  note(library.destroy_layout(layout));
  note(library.destroy_preference(preference));
  note(library.destroy_operation(nullptr));
  note(library.destroy_layout(nullptr));
  note(library.destroy_preference(nullptr));
  note(library.destroy(nullptr));
  note(library.create(nullptr));
  return all;
}

TEST(RealCublasLt, AnswersAsTheEmulatorsDoes) {
  Library real{};
  if (!open_real(&real)) GTEST_SKIP() << "no libcublasLt.so.13 on this machine";
  const Answers ours = answers(emulator), theirs = answers(real);
  ASSERT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_EQ(ours[i], theirs[i]);
  for (int status = 0; status < 20; ++status) EXPECT_STREQ(emulator.name(status), real.name(status));
}

}  // namespace
}  // namespace cuda_emulator
