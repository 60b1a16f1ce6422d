#include "placewright/runtime/byte_cache.h"

#include <cstdlib>
#include <functional>
#include <random>
#include <signal.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "placewright/base/error.h"
#include "placewright/base/file.h"
#include "placewright/base/log.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

class ByteCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "placewright-cache-XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path folder() const { return root_ / "cache"; }

  std::vector<std::string> lines_;
  LogCapture capture_{[this](LogLevel, std::string_view line) { lines_.emplace_back(line); }};
  fs::path root_;
};

TEST_F(ByteCacheTest, KeepsEntriesBeyondTheObject) {
  ByteCache(folder()).store("key a", Bytes{1, 2, 3});
  ByteCache(folder()).store("key b", Bytes{});
  ByteCache cache(folder());
  EXPECT_EQ(cache.load("key a"), (Bytes{1, 2, 3}));
  EXPECT_EQ(cache.load("key b"), Bytes{});
  EXPECT_EQ(cache.load("key c"), std::nullopt);
  cache.store("key a", Bytes{4});
  EXPECT_EQ(cache.load("key a"), Bytes{4});
  ASSERT_EQ(cache.entries().size(), 2u);
  EXPECT_EQ(cache.entries()[0].key, "key a");
  EXPECT_EQ(cache.entries()[0].bytes + cache.entries()[1].bytes, cache.size());
  EXPECT_EQ(cache.clear(), 2 * 40 + 10 + 1);
  EXPECT_EQ(cache.load("key a"), std::nullopt);
  EXPECT_THAT(lines_, testing::IsEmpty());
}

TEST_F(ByteCacheTest, EveryDamagedByteAndLengthIsFoundAndTheEntryDropped) {
  ByteCache cache(folder());
  cache.store("key", Bytes{1, 2, 3, 4});
  fs::path path = cache.entries().at(0).path;
  Bytes good = read_file(path);
  for (size_t i = 0; i < 2 * good.size(); ++i) {
    Bytes bad = good;
    if (i < good.size())
      bad[i] ^= 0x40;
    else
      bad.resize(i - good.size());
    write_file_atomically(path, bad);
    lines_.clear();
    EXPECT_EQ(cache.load("key"), std::nullopt) << i;
    EXPECT_THAT(lines_, testing::ElementsAre("cache entry " + path.string() +
                                             " is damaged: removed, its content is made again"));
    EXPECT_FALSE(fs::exists(path));
  }
  cache.store("key", Bytes{9});
  EXPECT_EQ(cache.load("key"), Bytes{9});
}

TEST_F(ByteCacheTest, FolderIsPrivateAndMustBeARealOne) {
  fs::create_directory(folder());
  ::chmod(folder().c_str(), 0777);
  ByteCache cache(folder());
  struct stat status;
  ASSERT_EQ(::stat(folder().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
  fs::create_directory_symlink(folder(), root_ / "link");
  EXPECT_THROW(ByteCache(root_ / "link"), Error);
  write_file_atomically(root_ / "file", "x");
  EXPECT_THROW(ByteCache(root_ / "file"), Error);
}

// Whoever names a folder of their own as the cache keeps what is in it, however old, and keeps it open if it was.
TEST_F(ByteCacheTest, FilesThatAreNotItsOwnStay) {
  fs::create_directory(folder());
  const std::string digits(32, 'a');
  const std::vector<std::string> others = {"thesis.txt", "notes.entry", digits, digits + ".entry.bak",
                                           digits + "b.entry"};
  for (const std::string& name : others) {
    write_file_atomically(folder() / name, "x");
    fs::last_write_time(folder() / name, fs::file_time_type::clock::now() - std::chrono::hours(48));
  }
  fs::path killed = folder() / (digits + ".entry.tmp-1-0x2-0");  // what a killed process left
  write_file_atomically(killed, "x");
  fs::last_write_time(killed, fs::file_time_type::clock::now() - std::chrono::hours(48));
  ::chmod(folder().c_str(), 0755);
  EXPECT_THROW(ByteCache{folder()}, Error);
  struct stat status;
  ASSERT_EQ(::stat(folder().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755u);
  ::chmod(folder().c_str(), 0700);
  ByteCache cache(folder(), 0);
  cache.store("key", Bytes{1});
  EXPECT_FALSE(fs::exists(killed));
  cache.clear();
  EXPECT_EQ(cache.size(), 0);
  for (const std::string& name : others) EXPECT_TRUE(fs::exists(folder() / name)) << name;
}

TEST_F(ByteCacheTest, DoesNotTrustTheFilesOfOthers) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ByteCache cache(folder());
  cache.store("key", Bytes{1});
  ASSERT_EQ(::chown(cache.entries().at(0).path.c_str(), 12345, 12345), 0);
  EXPECT_EQ(cache.load("key"), std::nullopt);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], testing::HasSubstr("belongs to user 12345"));
  ASSERT_EQ(::chown(folder().c_str(), 12345, 12345), 0);
  EXPECT_THROW(ByteCache{folder()}, Error);
}

TEST_F(ByteCacheTest, TheOldestGoWhenItGrowsTooLarge) {
  ByteCache cache(folder(), 1000);
  for (int i = 0; i < 10; ++i) {
    std::string key = "key " + std::to_string(i);
    cache.store(key, Bytes(200));
    for (const ByteCache::Entry& entry : cache.entries())
      if (entry.key == key)
        fs::last_write_time(entry.path, fs::file_time_type::clock::now() - std::chrono::seconds(100 - i));
  }
  EXPECT_LE(cache.size(), 1000);
  EXPECT_EQ(cache.load("key 0"), std::nullopt);
  EXPECT_TRUE(cache.load("key 9"));
}

// What stands in an entry's place and is no file: a folder, a pipe that nobody writes to, a link to somewhere else.
TEST_F(ByteCacheTest, WhatStandsInAnEntrysPlaceGoesOrIsSaid) {
  ByteCache cache(folder());
  cache.store("key", Bytes{1});
  const fs::path path = cache.entries().at(0).path, outside = root_ / "outside";
  write_file_atomically(outside, "not ours");
  const std::function<void()> intruders[] = {
      [&] { fs::create_directory(path); }, [&] { ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); },
      [&] { fs::create_symlink(outside, path); }, [&] { fs::create_symlink(root_ / "nowhere", path); }};
  for (const auto& intrude : intruders) {
    fs::remove(path);
    intrude();
    lines_.clear();
    EXPECT_EQ(cache.load("key"), std::nullopt);
    ASSERT_EQ(lines_.size(), 1u);
    EXPECT_THAT(lines_[0], testing::HasSubstr("removed"));
    cache.store("key", Bytes{2});
    EXPECT_EQ(cache.load("key"), Bytes{2});
    EXPECT_EQ(lines_.size(), 1u);
  }
  EXPECT_EQ(read_text_file(outside), "not ours");
  fs::remove(path);
  fs::create_directories(path / "with files");
  lines_.clear();
  EXPECT_EQ(cache.load("key"), std::nullopt);
  cache.store("key", Bytes{3});
  ASSERT_EQ(lines_.size(), 2u);
  EXPECT_THAT(lines_[0], testing::HasSubstr("cannot be removed (Directory not empty)"));
  EXPECT_THAT(lines_[1], testing::HasSubstr("not kept"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder()), fs::directory_iterator()), 1) << "no temporary stays";
}

// A disk that fills up in the middle of an entry, as a limit on the size of files makes one.
TEST_F(ByteCacheTest, AFullDiskKeepsTheOldEntries) {
  ByteCache cache(folder());
  cache.store("old", Bytes(100, 1));
  auto before = ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit usual;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &usual), 0);
  struct rlimit small{1000, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  cache.store("old", Bytes(5000, 2));
  cache.store("new", Bytes(5000, 3));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &usual), 0);
  ::signal(SIGXFSZ, before);
  ASSERT_EQ(lines_.size(), 2u);
  EXPECT_THAT(lines_[0], testing::HasSubstr("not kept"));
  EXPECT_EQ(cache.load("old"), Bytes(100, 1));
  EXPECT_EQ(cache.load("new"), std::nullopt);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder()), fs::directory_iterator()), 1) << "no temporary stays";
  cache.store("new", Bytes(5000, 3));
  EXPECT_EQ(cache.load("new"), Bytes(5000, 3));
}

TEST_F(ByteCacheTest, AFailureToStoreIsOneLine) {
  ByteCache cache(folder());
  fs::remove(folder());
  cache.store("key", Bytes{1});
  EXPECT_EQ(lines_.size(), 1u);
  EXPECT_EQ(cache.load("key"), std::nullopt);
}

// Bytes that belong to a key and a version, so that a mixture of two shows.
Bytes content(int key, int version) {
  Bytes bytes(static_cast<size_t>(1000 + key * 997), static_cast<uint8_t>(version));
  bytes[0] = static_cast<uint8_t>(key);
  return bytes;
}

[[noreturn]] void hammer(const fs::path& folder, unsigned seed, int rounds) {
  std::mt19937 random(seed);
  ByteCache cache(folder);
  for (int i = 0; i < rounds; ++i) {
    int key = static_cast<int>(random() % 8);
    if (random() % 2) {
      cache.store(std::to_string(key), content(key, static_cast<int>(random() % 256)));
    } else if (auto found = cache.load(std::to_string(key))) {
      if (*found != content(key, found->back())) ::_exit(3);
    }
  }
  ::_exit(0);
}

// PLACEWRIGHT_CACHE_ROUNDS raises the count for the long tier.
TEST_F(ByteCacheTest, ManyProcessesWriteAndAreKilledAndNobodyReadsAMixture) {
  const char* wish = std::getenv("PLACEWRIGHT_CACHE_ROUNDS");
  int rounds = wish ? std::atoi(wish) : 60;
  ByteCache cache(folder());
  std::vector<pid_t> children;
  for (unsigned i = 0; i < 16; ++i) {
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) hammer(folder(), i, i % 2 ? rounds : 1000000);  // the even ones run until they are killed
    children.push_back(child);
  }
  std::mt19937 random(7);
  for (size_t i = 0; i < children.size(); i += 2) {
    ::usleep(static_cast<useconds_t>(random() % 20000));
    ::kill(children[i], SIGKILL);
  }
  for (size_t i = 0; i < children.size(); ++i) {
    int status = 0;
    ASSERT_EQ(::waitpid(children[i], &status, 0), children[i]);
    bool as_expected = i % 2 ? WIFEXITED(status) && WEXITSTATUS(status) == 0 : WIFSIGNALED(status);
    EXPECT_TRUE(as_expected) << i << " " << status;
  }
  for (int key = 0; key < 8; ++key) {
    auto found = cache.load(std::to_string(key));
    if (found) {
      EXPECT_EQ(*found, content(key, found->back()));
    }
  }
  EXPECT_THAT(lines_, testing::IsEmpty());
  EXPECT_GT(cache.clear(), 0);
  EXPECT_EQ(cache.size(), 0);
}

}  // namespace
}  // namespace placewright
