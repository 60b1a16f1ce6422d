// Our table of the driver's functions against the true header, where a toolkit is installed.
#include <regex>
#include <sstream>

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"
#include "placewright/runtime/cuda/driver.h"

namespace placewright::cuda {
namespace {

using testing::ElementsAreArray;
namespace fs = std::filesystem;

class CudaHeader : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* path : {"/usr/local/cuda/include/cuda.h", "/usr/include/cuda.h"})
      if (text_.empty() && fs::exists(path)) {
        const std::vector<uint8_t> bytes = read_file(path);
        text_.assign(bytes.begin(), bytes.end());
      }
    if (text_.empty()) GTEST_SKIP() << "no cuda.h: a CUDA toolkit has it";
  }
  int number(const std::string& name) const {
    for (size_t at = text_.find(name); at != std::string::npos; at = text_.find(name, at + 1)) {
      const size_t is = text_.find_first_not_of(' ', at + name.size());
      if (is != std::string::npos && text_[is] == '=') return std::stoi(text_.substr(is + 1, 16), nullptr, 0);
    }
    return -1;
  }
  // The last name of each line of a struct's body.
  std::vector<std::string> fields(const std::string& name) const {
    const size_t begin = text_.find("struct " + name + " {");
    std::vector<std::string> found;
    if (begin == std::string::npos) return found;
    std::istringstream lines(text_.substr(begin, text_.find('}', begin) - begin));
    std::smatch field;
    for (std::string line; std::getline(lines, line);)
      if (std::regex_search(line, field, std::regex(R"((\w+);)"))) found.push_back(field[1]);
    return found;
  }
  std::string text_;
};

size_t count_parameters(const std::string& list) {
  return static_cast<size_t>(std::count(list.begin(), list.end(), ',')) + 1;
}

// Where a name has versions, the header's macro says which one belongs to its prototype.
TEST_F(CudaHeader, HasTheFunctionsOfTheTable) {
  const std::string macros = text_.substr(0, text_.find("typedef enum"));
  auto expect = [&](const std::string& symbol, const std::string& parameters) {
    std::smatch macro;
    const std::regex define("#define (\\w+) +(__CUDA_API_PT\\w+\\()?" + symbol + "\\b");
    const std::string plain = std::regex_search(macros, macro, define) ? macro[1].str() : symbol;
    const size_t begin = text_.find("CUDAAPI " + plain + "(");
    ASSERT_NE(begin, std::string::npos) << symbol;
    const std::string prototype = text_.substr(begin, text_.find(';', begin) - begin);
    EXPECT_EQ(count_parameters(prototype), count_parameters(parameters)) << prototype;
  };
#define PLACEWRIGHT_EXPECT(name, symbol, parameters) expect(symbol, #parameters);
  PLACEWRIGHT_CUDA_DRIVER(PLACEWRIGHT_EXPECT)
  PLACEWRIGHT_CUDA_GRAPHS(PLACEWRIGHT_EXPECT)
  PLACEWRIGHT_CUDA_CAPTURE(PLACEWRIGHT_EXPECT)
#undef PLACEWRIGHT_EXPECT
}

TEST_F(CudaHeader, HasOurNumbers) {
  EXPECT_EQ(number("CUDA_ERROR_OUT_OF_MEMORY"), out_of_memory);
  EXPECT_EQ(number("CUDA_ERROR_NOT_READY"), not_ready);
  EXPECT_EQ(number("CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED"), peer_enabled_already);
  EXPECT_EQ(number("CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT"), attribute_multiprocessors);
  EXPECT_EQ(number("CU_DEVICE_ATTRIBUTE_CLOCK_RATE"), attribute_clock_khz);
  EXPECT_EQ(number("CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE"), attribute_memory_clock_khz);
  EXPECT_EQ(number("CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH"), attribute_bus_bits);
  EXPECT_EQ(number("CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR"), attribute_major);
  EXPECT_EQ(number("CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR"), attribute_minor);
  EXPECT_EQ(number("CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"), function_dynamic_shared_bytes);
  EXPECT_EQ(number("CU_STREAM_NON_BLOCKING"), static_cast<int>(stream_non_blocking));
  EXPECT_EQ(number("CU_MEMORYTYPE_HOST"), memory_host);
  EXPECT_EQ(number("CU_MEMORYTYPE_DEVICE"), memory_device);
  EXPECT_EQ(number("CU_STREAM_CAPTURE_MODE_RELAXED"), capture_relaxed);
  for (const auto& [name, value] : {std::pair("PORTABLE", host_portable), std::pair("DEVICEMAP", host_mapped)})
    EXPECT_THAT(text_, testing::ContainsRegex(fmt::format("#define CU_MEMHOSTALLOC_{} +0x0{}", name, value)));
  // Without a number of their own: by their place.
  const size_t begin = text_.find("typedef enum CUjit_option_enum");
  std::string options = text_.substr(begin, text_.find("} CUjit_option;", begin) - begin);
  for (size_t at; (at = options.find("/*")) != std::string::npos;) options.erase(at, options.find("*/", at) + 2 - at);
  std::vector<std::string> names;
  const std::regex option(R"(\bCU_JIT_\w+)");
  for (std::sregex_iterator it(options.begin(), options.end(), option), end; it != end; ++it)
    names.push_back(it->str());
  ASSERT_GT(names.size(), 7u);
  EXPECT_EQ(names[static_cast<size_t>(jit_error_log)], "CU_JIT_ERROR_LOG_BUFFER");
  EXPECT_EQ(names[static_cast<size_t>(jit_error_log_bytes)], "CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES");
}

TEST_F(CudaHeader, LaysOutNodesAsWeDo) {
  EXPECT_THAT(fields("CUDA_KERNEL_NODE_PARAMS_v2_st"),
              ElementsAreArray({"func", "gridDimX", "gridDimY", "gridDimZ", "blockDimX", "blockDimY", "blockDimZ",
                                "sharedMemBytes", "kernelParams", "extra", "kern", "ctx"}));
  EXPECT_EQ(offsetof(KernelNode, parameters), 40u);
  EXPECT_EQ(sizeof(KernelNode), 72u);
  std::vector<std::string> copy;
  for (const std::string end : {"src", "dst"})
    for (const char* field :
         {"XInBytes", "Y", "Z", "LOD", "MemoryType", "Host", "Device", "Array", "", "Pitch", "Height"})
      copy.push_back(*field ? end + field : end == "src" ? "reserved0" : "reserved1");
  for (const char* field : {"WidthInBytes", "Height", "Depth"}) copy.emplace_back(field);
  EXPECT_THAT(fields("CUDA_MEMCPY3D_st"), ElementsAreArray(copy));
  EXPECT_EQ(offsetof(CopyNode::End, host), 40u);
  EXPECT_EQ(offsetof(CopyNode, bytes), 176u);
  EXPECT_EQ(sizeof(CopyNode), 200u);
}

// After which, as the header says, nothing works any more.
TEST_F(CudaHeader, SaysWhichErrorsAreForEver) {
  const std::regex error(R"(^\s*(CUDA_ERROR_\w+)\s*=\s*(\d+))");
  int sticky = 0;
  bool is_for_ever = false;  // by the comment in front
  std::smatch found;
  std::istringstream lines(text_);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("/**") != std::string::npos) is_for_ever = false;
    for (const char* words : {"inconsistent state", "must be terminated", "process must be"})
      is_for_ever = is_for_ever || line.find(words) != std::string::npos;
    if (!is_for_ever || line.find('=') == std::string::npos || !std::regex_search(line, found, error)) continue;
    ++sticky;
    EXPECT_TRUE(is_sticky(std::stoi(found[2]))) << found[1];
  }
  EXPECT_GT(sticky, 8);
  for (const char* name : {"INVALID_VALUE", "OUT_OF_MEMORY", "NO_BINARY_FOR_GPU", "INVALID_HANDLE", "NOT_READY",
                           "LAUNCH_OUT_OF_RESOURCES", "GRAPH_EXEC_UPDATE_FAILURE"})
    EXPECT_FALSE(is_sticky(number(std::string("CUDA_ERROR_") + name))) << name;
}

}  // namespace
}  // namespace placewright::cuda
