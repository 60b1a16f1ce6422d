#include "placewright/base/file.h"

#include <csignal>
#include <fcntl.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "environment_variable.h"
#include "error_of.h"
#include "placewright/base/log.h"
#include "placewright/base/shared_library.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "placewright-file-XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {})); }
  fs::path folder_;
};

TEST_F(FileTest, WritesReplaceWholeFiles) {
  fs::path path = folder_ / "a";
  write_file_atomically(path, "first");
  EXPECT_EQ(read_text_file(path), "first");
  write_file_atomically(path, "2", 0600);
  EXPECT_EQ(read_text_file(path), "2");
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  write_file_atomically(path, "3");
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u) << "a file that was closed to others stays closed";
  EXPECT_EQ(files(), 1u);
}

TEST_F(FileTest, AnUncommittedFileLeavesNothing) {
  fs::path path = folder_ / "a";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path), other(path);
    file.write(std::vector<uint8_t>(100));
    other.write(std::vector<uint8_t>(100));
    EXPECT_EQ(files(), 3u);
  }
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(read_text_file(path), "old");
}

// A limit on the file's size stands in for a full disk: the write fails half-way.
TEST_F(FileTest, AFailedWriteKeepsTheOldFile) {
  fs::path path = folder_ / "a";
  write_file_atomically(path, "old");
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::string message = error_of([&] { write_file_atomically(path, std::vector<uint8_t>(5000)); });
    ::_exit(message.find("File too large; the file was left as it was") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(files(), 1u);
}

// A name that is no file's stays what it is.
TEST_F(FileTest, PipesAndLinksAreWrittenThrough) {
  fs::path pipe = folder_ / "pipe", link = folder_ / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  write_file_atomically(pipe, "text");
  char read[8] = {};
  EXPECT_EQ(::read(reader, read, sizeof read), 4);
  ::close(reader);
  EXPECT_STREQ(read, "text");
  EXPECT_TRUE(fs::is_fifo(pipe));

  write_file_atomically(folder_ / "a", "old");
  fs::create_symlink("a", link);
  write_file_atomically(link, "new");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(read_text_file(folder_ / "a"), "new");
  EXPECT_EQ(files(), 3u);
}

TEST_F(FileTest, ReadingSaysWhatIsWrong) {
  fs::path path = folder_ / "a";
  EXPECT_EQ(error_of([&] { read_file(path); }), "cannot open " + path.string() + ": No such file or directory");
  EXPECT_EQ(try_read_file(path), std::nullopt);
  write_file_atomically(path, "12345");
  EXPECT_EQ(error_of([&] { read_file(path, 4); }), path.string() + " has 5 bytes, at most 4 are expected");
  EXPECT_EQ(read_file(path, 5).size(), 5u);
  EXPECT_THAT(error_of([&] { read_file(folder_); }), HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read_file(folder_ / "pipe"); }), HasSubstr("not a regular file"));
  EXPECT_THAT(error_of([&] { write_file_atomically(folder_ / "none" / "b", "x"); }),
              HasSubstr("No such file or directory"));
}

TEST(SharedLibrary, OpensWhatIsThereAndSaysWhyNot) {
  SharedLibrary maths = SharedLibrary::open({{"libm.so.6"}, {}, "", true});
  EXPECT_EQ(maths.function<double(double)>("sqrt")(9.0), 3.0);
  EXPECT_THAT(maths.path(), HasSubstr("libm"));
  EXPECT_EQ(maths.try_symbol("no_such_function"), nullptr);
  EXPECT_THAT(error_of([&] { maths.symbol("no_such_function"); }), HasSubstr("has no symbol no_such_function"));
  std::vector<std::string> reasons;
  EXPECT_FALSE(SharedLibrary::try_open({{"liba.so", "libb.so"}, {"/nowhere"}, "", false}, &reasons));
  ASSERT_EQ(reasons.size(), 2u);
  EXPECT_THAT(reasons[0], HasSubstr("/nowhere/liba.so"));
  EXPECT_THAT(error_of([] { SharedLibrary::open({{"liba.so"}, {"/nowhere"}, "PW_TEST_LIBRARY", true}); }),
              HasSubstr("set PW_TEST_LIBRARY to its path"));
}

TEST(SharedLibrary, AnOverrideIsObeyedAlone) {
  ::setenv("PW_TEST_LIBRARY", "/nowhere/other.so", 1);
  EXPECT_FALSE(SharedLibrary::try_open({{"libm.so.6"}, {}, "PW_TEST_LIBRARY", true}));
  ::setenv("PW_TEST_LIBRARY", "", 1);
  EXPECT_TRUE(SharedLibrary::try_open({{"libm.so.6"}, {}, "PW_TEST_LIBRARY", true}));
  ::unsetenv("PW_TEST_LIBRARY");
}

// Without opening it: the loader's folders are known too, and come where the loader does.
TEST_F(FileTest, TheStampIsOfTheFileThatWouldBeOpened) {
  fs::create_directories(folder_ / "path");
  fs::create_directories(folder_ / "own");
  const EnvironmentVariable path("LD_LIBRARY_PATH", "/nowhere:" + (folder_ / "path").string());
  auto stamp = [&](bool system, bool system_first) {
    return SharedLibrary::stamp({{"libpw_a.so", "libpw_b.so"}, {folder_ / "own"}, "", system, system_first});
  };
  EXPECT_EQ(stamp(true, true), "");
  write_file_atomically(folder_ / "own/libpw_b.so", "1");
  EXPECT_THAT(stamp(true, true), HasSubstr("own/libpw_b.so 1 "));
  write_file_atomically(folder_ / "path/libpw_b.so", "22");
  EXPECT_THAT(stamp(true, true), HasSubstr("path/libpw_b.so 2 "));
  EXPECT_THAT(stamp(true, false), HasSubstr("own/libpw_b.so 1 "));
  EXPECT_THAT(stamp(false, true), HasSubstr("own/libpw_b.so 1 "));
  write_file_atomically(folder_ / "path/libpw_a.so", "333");
  EXPECT_THAT(stamp(true, true), HasSubstr("path/libpw_a.so 3 "));
  EXPECT_THAT(SharedLibrary::stamp({{"libm.so.6"}, {}, "", true}), HasSubstr("/libm.so.6 ")) << "a usual folder";
}

TEST(SharedLibrary, FindsTheFolderOfCode) {
  EXPECT_TRUE(fs::exists(folder_of_code(reinterpret_cast<const void*>(&folder_of_code))));
}

TEST(Log, CanBeCapturedAndFiltered) {
  std::vector<std::string> lines;
  LogCapture capture([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  log_info("one");
  log(LogLevel::debug, "dropped");
  set_log_level(LogLevel::error);
  log_warning("dropped");
  set_log_level(LogLevel::info);
  log_warning("two {}");
  EXPECT_THAT(lines, testing::ElementsAre("one", "two {}"));
}

}  // namespace
}  // namespace placewright
