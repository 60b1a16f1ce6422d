// Runs each example as its users do and checks what it prints.
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <set>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "examples/run_example.h"
#include "placewright/base/file.h"

namespace {

using namespace placewright::testing;

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(Examples, AddOnCpu) {
  std::string text = ok("01_add_on_cpu");
  EXPECT_THAT(text, AllOf(HasSubstr("a: cpu:0"), HasSubstr("b: cpu:0"), HasSubstr("a + b: cpu:0"), HasSubstr("f32")));
}

TEST(Examples, PickDevice) {
  std::string text = ok("02_pick_device");
  if (text.find("device: cpu") != std::string::npos) {
    EXPECT_THAT(text, HasSubstr("no cuda: "));
  }
  EXPECT_THAT(text, HasSubstr("sum of all elements: 24"));
}

TEST(Examples, MixedDevices) {
  std::string text = ok("03_mixed_devices --devices cpu,sim:1");
  EXPECT_EQ(count(text, "placewright: "), 1);
  EXPECT_THAT(text,
              AllOf(HasSubstr("03_mixed_devices.cc:9: add reads"), HasSubstr("cpu:0 (examples/03_mixed_devices.cc:7)"),
                    HasSubstr("placed at examples/03_mixed_devices.cc:8"), HasSubstr("48 bytes"),
                    HasSubstr("write .to(\"sim:0\")"), HasSubstr("sum of all elements: 24")));
  std::string strict = fails("03_mixed_devices --strict");
  EXPECT_THAT(strict, AllOf(HasSubstr("error: "), HasSubstr("03_mixed_devices.cc:7"),
                            HasSubstr("03_mixed_devices.cc:8"), Not(HasSubstr("sum of all"))));
}

TEST(Examples, LinearUnmoved) {
  EXPECT_THAT(ok("04_linear_unmoved"),
              AllOf(HasSubstr("output: cpu:0"), HasSubstr("linear"), HasSubstr(" on cpu:0: ")));
}

TEST(Examples, LinearMoved) {
  EXPECT_THAT(ok("05_linear_moved"), AllOf(HasSubstr("output: sim:0"), Not(HasSubstr("placewright: "))));
}

TEST(Examples, ForgottenBatches) {
  std::string text = ok("06_forgotten_batches");
  EXPECT_EQ(count(text, "placewright: "), 1);
  EXPECT_THAT(text, AllOf(HasSubstr("10 batches, 4000 bytes copied"), HasSubstr("400 bytes every step"),
                          HasSubstr("hint: "), HasSubstr("06_forgotten_batches.cc:")));
  EXPECT_THAT(fails("06_forgotten_batches --strict"), HasSubstr("error: "));
}

TEST(Examples, MovedBatches) {
  std::string text = ok("07_moved_batches --strict");
  EXPECT_THAT(text, AllOf(HasSubstr("unexplained copies: 0"), Not(HasSubstr("placewright: "))));
}

TEST(Examples, TrainingFallsTheSameWhereverItRuns) {
  std::vector<double> here = numbers_after(ok("08_train_unmoved"), "loss ");
  ASSERT_EQ(here.size(), 10u);
  EXPECT_LT(here.back(), here.front());
  std::string half = ok("09_train_model_moved");
  EXPECT_EQ(numbers_after(half, "loss "), here);
  EXPECT_GE(count(half, "placewright: "), 1);
  EXPECT_THAT(fails("09_train_model_moved --strict"), AllOf(HasSubstr("error: "), Not(HasSubstr("epoch"))));
  std::string moved = ok("10_train_all_moved --strict");
  EXPECT_EQ(numbers_after(moved, "loss "), here);
  EXPECT_THAT(moved, Not(HasSubstr("placewright: ")));
}

// The rows of the table in docs/transfers.md: the command and three numbers.
TEST(Examples, TransfersAreTheDocumentedMinimum) {
  const std::string text = placewright::read_text_file(std::string(PLACEWRIGHT_TEST_DATA) + "/../../docs/transfers.md");
  const std::regex row(R"(\| (\d\d_[^|]*) \| (\d+) \| (\d+) \| (\d+) \|)");
  std::set<std::string> programs;
  for (std::sregex_iterator found(text.begin(), text.end(), row), end; found != end; ++found) {
    const std::smatch& cells = *found;
    programs.insert(cells[1].str().substr(0, 2));
    EXPECT_THAT(ok(cells[1]), HasSubstr("transfers: " + cells[2].str() + " bytes at load, " + cells[3].str() +
                                        " in the last step, " + cells[4].str() + " read back\n"))
        << cells[1];
  }
  // The others compute lazily, on one device each but 3, whose one line says what it copies.
  EXPECT_THAT(programs, testing::ElementsAre("04", "05", "06", "07", "08", "09", "10", "13", "14", "15", "16"));
}

// What was compiled once is found by the next process, which never opens the code generator.
TEST(Examples, ASecondProcessNeverLoadsLlvm) {
  ok("08_train_unmoved");
  Outcome second = run("08_train_unmoved", "LD_DEBUG=files");
  EXPECT_EQ(second.status, 0);
  EXPECT_THAT(second.text, AllOf(HasSubstr("libplacewright.so"), HasSubstr("epoch 10"), Not(HasSubstr("libLLVM")),
                                 Not(HasSubstr("placewright-llvm"))));
}

// Convolutions, pooling and Adam too; times are the bench's to print, for a person on a quiet machine.
TEST(Examples, StartupBenchFindsInTheSecondProcessWhatTheFirstCompiled) {
  std::string text = ok("../startup_bench");
  size_t line = text.find('\n');
  ASSERT_NE(line, std::string::npos) << text;
  EXPECT_THAT(text.substr(0, line), AllOf(HasSubstr("\"from_cache\": false"), HasSubstr("\"llvm_loaded\": true")));
  EXPECT_THAT(text.substr(line), AllOf(HasSubstr("\"from_cache\": true"), HasSubstr("\"llvm_loaded\": false")));
}

// A whole small step is one launch, and the public call gives what its entries give.
TEST(Examples, StepBenchComparesTheCallWithItsEntries) {
  std::string text = ok("../step_bench a b");
  EXPECT_THAT(text, AllOf(HasSubstr("\"program\": \"a\""), HasSubstr("\"program\": \"b\""),
                          HasSubstr("\"launches\": 1, "), Not(HasSubstr("\"launches\": 2, "))));
}

TEST(Examples, Doctor) {
  std::string text = ok("11_doctor");
  EXPECT_THAT(text, AllOf(HasSubstr("cuda: "), HasSubstr("found: cpu:0"), HasSubstr("found: sim:0")));
}

TEST(Examples, TensorToCuda) {
  Outcome outcome = run("12_tensor_to_cuda");
  if (outcome.status != 0) {
    EXPECT_THAT(outcome.text, AllOf(HasSubstr("error: no device cuda:0"), HasSubstr("12_tensor_to_cuda.cc:6"),
                                    Not(HasSubstr("sum"))));
  }
}

TEST(Examples, DataParallel) {
  std::string one = ok("13_data_parallel"), two = ok("13_data_parallel --devices cpu,sim:2");
  EXPECT_THAT(one,
              AllOf(HasSubstr("one device: nothing to split over, training on sim:0\n"),
                    HasSubstr("weight on sim:0: placed on sim:0"), HasSubstr("bytes of all-reduces in a step: 0\n")));
  EXPECT_THAT(ok("13_data_parallel --devices cpu"), HasSubstr("nothing to split over, training on cpu:0\n"));
  EXPECT_THAT(two,
              AllOf(HasSubstr("used: sim:0"), HasSubstr("used: sim:1"),
                    HasSubstr("bytes of all-reduces in a step: " + std::to_string(2 * 4 * (100 * 10 + 10 + 1)) + "\n"),
                    HasSubstr("all_reduce")));
  std::vector<double> alone = numbers_after(one, "loss "), together = numbers_after(two, "loss ");
  ASSERT_EQ(alone.size(), 10u);
  ASSERT_EQ(together.size(), 10u);
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_NEAR(together[i], alone[i], 2e-6);
}

TEST(Examples, NoGradForward) {
  EXPECT_THAT(ok("14_no_grad_forward"),
              AllOf(HasSubstr("x: sim:0"), HasSubstr("y: sim:0"), HasSubstr("result: cpu:0")));
}

TEST(Examples, TrainBatches) {
  std::string text = ok("15_train_batches");
  std::vector<double> losses = numbers_after(text, "loss ");
  ASSERT_EQ(losses.size(), 10u);
  EXPECT_LT(losses.back(), 0.01 * losses.front());
  EXPECT_THAT(text, HasSubstr("specialisations: 2"));
}

TEST(Examples, SimpleCnn) {
  std::string text = ok("16_simple_cnn");
  std::vector<double> losses = numbers_after(text, "loss ");
  ASSERT_EQ(losses.size(), 5u);
  EXPECT_LT(losses.back(), 0.5 * losses.front());
  EXPECT_THAT(text, HasSubstr(" on cpu:0: "));
}

TEST(Examples, FashionMnistIsTheSameInEveryRunAndOnEveryNumberOfThreads) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  std::string command = "fashion_mnist --model mlp --epochs 1 --limit 1280 --report /dev/stdout --threads ";
  auto losses = [&](const char* threads) { return numbers_after(ok(command + threads + " | grep loss"), "loss "); };
  std::vector<double> one = losses("1");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(losses("1"), one);
  EXPECT_EQ(losses("2"), one);
}

TEST(Examples, FashionMnistWritesItsFiles) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  fs::path folder = fs::path(testing::TempDir()) / ("fashion_" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::string base = folder.string();
  ok("fashion_mnist --model mlp --epochs 1 --limit 640 --json " + base + "/r.json --csv " + base + "/r.csv --report " +
     base + "/r.txt --dump " + base + "/r.pw");
  EXPECT_THAT(placewright::read_text_file(folder / "r.json"),
              AllOf(HasSubstr("test_accuracy"), HasSubstr("first_compile_ms"), HasSubstr("epochs")));
  EXPECT_THAT(placewright::read_text_file(folder / "r.csv"), HasSubstr("epoch,loss,test_accuracy,seconds\n1,"));
  EXPECT_THAT(placewright::read_text_file(folder / "r.txt"), HasSubstr("layers.1.weight on cpu:0"));
  EXPECT_THAT(placewright::read_text_file(folder / "r.pw"), HasSubstr("gradient"));
  fs::remove_all(folder);
}

TEST(Examples, FashionMnistWithoutItsDataSaysSo) {
  EXPECT_THAT(fails("fashion_mnist --data /nowhere"), HasSubstr("/nowhere/train-images-idx3-ubyte.gz"));
  for (const char* option : {"--json", "--csv", "--report", "--dump"})  // said before anything is trained or read
    EXPECT_EQ(fails("fashion_mnist --data /nowhere " + std::string(option) + " /nowhere/file"),
              "fashion_mnist: cannot create a file beside /nowhere/file: No such file or directory\n");
}

}  // namespace
