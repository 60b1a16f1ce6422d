// The kernel cache under real programs: processes that fill it at once, are killed, or find it damaged or full all
// compute the same numbers.
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <random>
#include <spawn.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "placewright/base/file.h"
#include "placewright/base/log.h"
#include "placewright/placewright.h"
#include "placewright/runtime/byte_cache.h"

extern char** environ;

namespace placewright {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* folder_variable = "PLACEWRIGHT_TEST_CACHE_FOLDER";

class KernelCache : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "placewright-kernels-XXXXXX").string();
    ASSERT_TRUE(::mkdtemp(pattern.data()));
    root_ = pattern;
  }
  void TearDown() override {
    configure({});
    fs::remove_all(root_);
  }
  std::string folder() const { return (root_ / "cache").string(); }

  struct Outcome {
    std::vector<double> losses;
    bool from_cache = false;
    friend bool operator==(const Outcome&, const Outcome&) = default;
  };
  // A training step and an inference function: two programs, in a new session.
  static Outcome train(const std::string& folder) {
    configure({.cache_directory = folder});
    nn::Sequential model(nn::Linear(6, 4), nn::Tanh(), nn::Linear(4, 2));
    optim::Adam optimizer(model.named_parameters(), {.lr = 0.01});
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    CompiledFunction infer = compile(model);
    Tensor x = randn({8, 6}), y = zeros({8, 2});
    Outcome outcome;
    for (int i = 0; i < 3; ++i) outcome.losses.push_back(step(x, y).item());
    for (float value : infer(x).to_vector<float>()) outcome.losses.push_back(value);
    outcome.from_cache = step.last().from_cache() && infer.last().from_cache();
    return outcome;
  }

  // This program again, as a process of its own that trains and writes its numbers to `result`.
  pid_t spawn(const fs::path& result) const {
    const std::string program = fs::read_symlink("/proc/self/exe");
    std::vector<std::string> words{program, "--gtest_filter=KernelCache.DISABLED_Worker",
                                   "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
    std::vector<char*> arguments, variables;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::string variable = std::string(folder_variable) + "=" + folder() + "|" + result.string();
    for (char** each = environ; *each; ++each) variables.push_back(*each);
    variables.push_back(variable.data());
    variables.push_back(nullptr);
    pid_t child = -1;
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    EXPECT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), variables.data()), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    return child;
  }
  static int wait_for(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
  }

  std::vector<std::string> lines_;
  LogCapture capture_{[this](LogLevel, std::string_view line) { lines_.emplace_back(line); }};
  fs::path root_;
};

// Not a test: what the processes of the tests below run.
TEST_F(KernelCache, DISABLED_Worker) {
  const char* given = std::getenv(folder_variable);
  if (!given) GTEST_SKIP() << "only for other tests";
  const std::string text = given;
  const size_t bar = text.find('|');
  std::string numbers;
  for (double loss : train(text.substr(0, bar)).losses) numbers += std::to_string(loss) + " ";
  for (const std::string& line : lines_) numbers += line;
  write_file_atomically(text.substr(bar + 1), numbers);
}

TEST_F(KernelCache, ProcessesFillItAtOnceAndAreKilled) {
  fs::path expected = root_ / "expected";
  ASSERT_EQ(wait_for(spawn(expected)), 0);
  fs::remove_all(folder());
  std::mt19937 random(3);
  for (int round = 0; round < 2; ++round) {
    std::vector<pid_t> children;
    for (int i = 0; i < 4; ++i) children.push_back(spawn(root_ / std::to_string(i)));
    for (int i : {0, 1}) {  // in the middle of whatever they do
      ::usleep(static_cast<useconds_t>(random() % 100000));
      ::kill(children[static_cast<size_t>(i)], SIGKILL);
    }
    for (size_t i = 0; i < children.size(); ++i) {
      int status = wait_for(children[i]);
      if (i < 2) continue;
      EXPECT_EQ(status, 0);
      EXPECT_EQ(read_text_file(root_ / std::to_string(i)), read_text_file(expected));
    }
  }
  EXPECT_EQ(ByteCache(folder()).entries().size(), 2u);
  EXPECT_TRUE(train(folder()).from_cache);
  EXPECT_THAT(lines_, testing::IsEmpty());
}

TEST_F(KernelCache, DamagedEntriesAreMadeAgain) {
  Outcome fresh = train(folder()), kept = train(folder());
  EXPECT_FALSE(fresh.from_cache);
  EXPECT_TRUE(kept.from_cache);
  EXPECT_EQ(kept.losses, fresh.losses);
  const std::vector<ByteCache::Entry> entries = ByteCache(folder()).entries();
  ASSERT_EQ(entries.size(), 2u);
  const fs::path path = entries[0].path;
  const std::vector<uint8_t> good = read_file(path);
  auto put = [&](std::vector<uint8_t> bytes) { return [=] { write_file_atomically(path, bytes); }; };
  auto flipped = [&](size_t at) {
    std::vector<uint8_t> bad = good;
    bad[at] ^= 1;
    return put(bad);
  };
  auto replaced = [&](std::vector<uint8_t> payload) {  // whole, but of no program
    return [=, this] { ByteCache(folder()).store(entries[0].key, payload); };
  };
  std::vector<uint8_t> payload = ByteCache(folder()).load(entries[0].key).value();
  const std::vector<uint8_t> half(payload.begin(), payload.begin() + static_cast<ptrdiff_t>(payload.size() / 2));
  const std::function<void()> damages[] = {
      put({}),
      put({good.begin(), good.begin() + static_cast<ptrdiff_t>(good.size() / 2)}),
      flipped(0),                 // magic
      flipped(9),                 // sizes
      flipped(30),                // checksum
      flipped(50),                // key
      flipped(good.size() - 10),  // payload
      [&] { fs::create_directory(path); },
      replaced({}),
      replaced(half),
      replaced(std::vector<uint8_t>(1000, 0xff)),
  };
  for (const std::function<void()>& damage : damages) {
    fs::remove(path);
    damage();
    EXPECT_EQ(train(folder()), fresh);
    EXPECT_TRUE(train(folder()).from_cache) << "made again and kept";
  }
}

// As a full disk: no entry can be written, and the program goes on after a line that says so.
TEST_F(KernelCache, WithoutRoomForEntries) {
  const Outcome expected = train(folder());
  ByteCache(folder()).clear();
  auto before = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit usual;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &usual), 0);
  struct rlimit small{100, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Outcome outcome = train(folder());
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &usual), 0);
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(outcome, expected);
  EXPECT_THAT(lines_, testing::Each(HasSubstr("cache entry not kept: cannot write")));
  EXPECT_EQ(lines_.size(), 2u);
  EXPECT_EQ(ByteCache(folder()).size(), 0);
}

// A save that is killed leaves the old file or the new one.
TEST_F(KernelCache, AKilledSaveLeavesAWholeFile) {
  const fs::path path = root_ / "model.safetensors";
  auto tensors = [](float value) {
    HostTensor tensor(DType::f32, {1 << 18});
    for (float& element : tensor.data<float>()) element = value;
    return NamedTensors{{"a", tensor}, {"b", tensor}};
  };
  std::vector<NamedTensors> versions;
  for (int i = 0; i < 4; ++i) versions.push_back(tensors(static_cast<float>(i)));
  write_safetensors(path, versions[0]);
  std::mt19937 random(5);
  for (int round = 0; round < 8; ++round) {
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0)
      for (size_t i = 0;; ++i) write_safetensors(path, versions[i % versions.size()]);
    ::usleep(static_cast<useconds_t>(2000 + random() % 20000));
    ::kill(child, SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(wait_for(child)));
    NamedTensors read = read_safetensors(path);
    EXPECT_TRUE(read.at("a").same_bytes(read.at("b"))) << "of one save";
    write_safetensors(path, versions[0]);
    EXPECT_EQ(read_safetensors(path).at("a").number(0), 0) << "what a killed process left is in nobody's way";
  }
}

}  // namespace
}  // namespace placewright
