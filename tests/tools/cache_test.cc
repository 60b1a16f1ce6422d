// The subcommand cache.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/runtime/byte_cache.h"
#include "tools/run_tool.h"

namespace placewright::tools_test {
namespace {

TEST(Cache, ListsAndClears) {
  TemporaryFolder folder;
  std::string cache = folder / "kernels";
  EXPECT_EQ(run_tool({"cache", "--directory", cache, "list"}).output, cache + ": no entries\n");
  EXPECT_FALSE(std::filesystem::exists(cache)) << "looking must not make it";

  std::vector<uint8_t> bytes(1000, 7);
  ByteCache(cache).store("first\nkey", bytes);
  ByteCache(cache).store(std::string(200, 'x'), bytes);
  ToolRun list = run_tool({"cache", "--directory", cache, "list"});
  EXPECT_EQ(list.exit_code, 0) << list.errors;
  EXPECT_THAT(list.output, ::testing::StartsWith(cache + ": 2 entries, "));
  EXPECT_THAT(list.output, ::testing::HasSubstr("  first key\n"));
  EXPECT_THAT(list.output, ::testing::HasSubstr("  " + std::string(80, 'x') + "...\n"));

  ToolRun clear = run_tool({"cache", "--directory", cache, "clear"});
  EXPECT_EQ(clear.exit_code, 0);
  EXPECT_THAT(clear.output, ::testing::EndsWith(" B freed\n"));
  EXPECT_EQ(run_tool({"cache", "--directory", cache, "list"}).output, cache + ": 0 entries, 0 B\n");
}

TEST(Cache, SaysWhereItIs) {
  EXPECT_EQ(run_tool({"cache", "--directory", "/tmp/elsewhere", "path"}).output, "/tmp/elsewhere\n");
  EXPECT_EQ(run_tool({"cache"}).exit_code, 2);
}

TEST(Cache, WhatIsNoFolderIsAnError) {
  ToolRun run = run_tool({"cache", "--directory", "linear.pw", "list"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.errors, "placewright: cache linear.pw is no folder: remove it or choose another\n");
}

}  // namespace
}  // namespace placewright::tools_test
