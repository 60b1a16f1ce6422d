#include "placewright/runtime/host_code/host_code.h"

#include <cstring>
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel_object.h"

namespace placewright {
namespace {

using testing::HasSubstr;
using testing_runtime::kernel_object;
using Kernel = void(void* const*, const int64_t*, int64_t, int64_t, uint64_t*);

std::string refusal(std::span<const uint8_t> object) {
  try {
    HostCode::load(object, "it");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(HostCode, RunsCodeWithConstantsImportsTablesAndData) {
  auto code = HostCode::load(kernel_object("kernels"), "kernels");
  auto* kernel = reinterpret_cast<Kernel*>(code->try_symbol("exercise_relocations"));
  ASSERT_NE(kernel, nullptr);
  double expected[][6] = {{1, 13.125, 1, 1, 'n', 17}, {2, 13.125, 2, 2, 'n', 13.125}, {4, 13.125, 3, 3, 'n', 36.125}};
  for (int64_t exponent = 0; exponent < 3; ++exponent) {
    double out[8];
    void* buffers[] = {out};
    int64_t scalars[] = {8, exponent, 1};
    kernel(buffers, scalars, 0, 1, nullptr);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(out[i], expected[exponent][i]) << exponent << " " << i;
    EXPECT_EQ(out[7], 0);
  }
  EXPECT_EQ(code->try_symbol("polynomial"), nullptr);
  EXPECT_EQ(code->try_symbol("memset"), nullptr);
  EXPECT_EQ(code->try_symbol("words"), nullptr);  // no function
}

TEST(HostCode, TwoLoadsHaveDataOfTheirOwn) {
  for (int round = 0; round < 2; ++round) {
    auto code = HostCode::load(kernel_object("kernels"), "kernels");
    double out[8];
    void* buffers[] = {out};
    int64_t scalars[] = {8, 0, 1};
    reinterpret_cast<Kernel*>(code->try_symbol("exercise_relocations"))(buffers, scalars, 0, 1, nullptr);
    EXPECT_EQ(out[2], 1);
  }
}

TEST(HostCode, NoPageIsWritableAndExecutable) {
  auto code = HostCode::load(kernel_object("kernels"), "kernels");
  std::ifstream maps("/proc/self/maps");
  auto wanted = reinterpret_cast<uintptr_t>(code->try_symbol("add_f32"));
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    char rights[5] = "";
    ASSERT_EQ(std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights), 3);
    EXPECT_FALSE(rights[1] == 'w' && rights[2] == 'x') << line;
    if (begin <= wanted && wanted < end) {
      found = true;
      EXPECT_STREQ(rights, "r-xp");
    }
  }
  EXPECT_TRUE(found);
}

TEST(HostCode, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(refusal(kernel_object("refused_import")),
            "kernel image it cannot be loaded: it imports 'system', which is not in the table of imports");
  EXPECT_THAT(refusal(kernel_object("refused_thread_local")), HasSubstr("thread-local data"));
  EXPECT_THAT(refusal(kernel_object("refused_constructor")), HasSubstr("constructors"));
  EXPECT_THAT(refusal({}), HasSubstr("truncated"));
  std::vector<uint8_t> object = kernel_object("kernels");
  object[0] = 'X';
  EXPECT_THAT(refusal(object), HasSubstr("no ELF object"));
  object = kernel_object("kernels");
  object[18] = 183;  // aarch64
  EXPECT_THAT(refusal(object), HasSubstr("not for little-endian x86-64"));
}

TEST(HostCode, RefusesEveryTruncation) {
  std::vector<uint8_t> object = kernel_object("kernels");
  for (size_t size = 0; size < object.size(); size += 7) EXPECT_NE(refusal(std::span(object).first(size)), "") << size;
}

// Nothing of what is loaded here runs: the loader itself must stay within the object and its mapping.
TEST(HostCode, SurvivesDamage) {
  const std::vector<uint8_t> good = kernel_object("kernels");
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<uint8_t> bad = good;
    int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
      size_t at = random() % 2 ? random() % bad.size() : bad.size() - 1 - random() % std::min<size_t>(bad.size(), 3000);
      uint64_t value = random() % 3 ? random() : ~uint64_t{0} - random() % 64;
      std::memcpy(bad.data() + at, &value, std::min<size_t>(1u << random() % 4, bad.size() - at));
    }
    refused += refusal(bad) != "";
  }
  EXPECT_GT(refused, 400);
}

}  // namespace
}  // namespace placewright
