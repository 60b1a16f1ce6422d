// safetensors and idx files: round trips, resumed training, and one line for every damaged file.
#include <filesystem>
#include <fstream>
#include <functional>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "placewright/base/file.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("files_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  // The message, which is one line and names the file.
  static std::string message(const fs::path& path, const std::function<void(const fs::path&)>& read) {
    try {
      read(path);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path.filename().string()));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "no error";
  }

  fs::path folder_;
};

std::string safetensors(const std::string& header, const std::string& data) {
  uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + header + data;
}

TEST_F(Files, SafetensorsRoundTrip) {
  NamedTensors tensors{{"a", HostTensor::from<float>({2, 2}, {1, 2, 3, 4})},
                       {"b", HostTensor::scalar<int64_t>(7)},
                       {"empty", HostTensor(DType::f64, {0, 3})}};
  write_safetensors(folder_ / "x.safetensors", tensors);
  NamedTensors read = read_safetensors(folder_ / "x.safetensors");
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(read.at(name).same_bytes(tensor)) << name;
}

TEST_F(Files, DamagedSafetensorsAreErrors) {
  auto read = [](const fs::path& path) { read_safetensors(path); };
  EXPECT_THAT(message(folder_ / "missing", read), HasSubstr("No such file"));
  EXPECT_THAT(message(write("short", "abc"), read), HasSubstr("3 bytes are no safetensors file"));
  EXPECT_THAT(message(write("huge", std::string(8, '\x7f')), read), HasSubstr("truncated"));
  EXPECT_THAT(message(write("foreign", safetensors("[1]", "")), read), HasSubstr("no JSON object"));
  EXPECT_THAT(
      message(write("dtype", safetensors(R"({"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}})", "1234")), read),
      HasSubstr("'a' is X9"));
  EXPECT_THAT(
      message(write("size", safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234")), read),
      HasSubstr("takes 8 bytes"));
  EXPECT_THAT(
      message(write("out", safetensors(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234")), read),
      HasSubstr("outside"));
  EXPECT_THAT(
      message(write("gap", safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "12")), read),
      HasSubstr("belong to no tensor"));
  write_safetensors(folder_ / "good", {{"a", HostTensor::from<float>({2}, {1, 2})}});
  std::vector<uint8_t> good = read_file(folder_ / "good");
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_NE(message(write("cut", std::string(good.begin(), good.begin() + static_cast<long>(length))), read),
              "no error");
}

TEST_F(Files, TrainingResumesWithTheSameBits) {
  configure({.use_cache = false});
  Tensor x = randn({8, 4}), y = randn({8, 2});
  auto train = [&](nn::Linear& model, optim::Adam& optimizer, int steps) {
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    double loss = 0;
    for (int i = 0; i < steps; ++i) loss = step(x, y).item();
    return loss;
  };
  manual_seed(3);
  nn::Linear model(4, 2);
  optim::Adam optimizer(model.named_parameters(), {.lr = 0.01});
  train(model, optimizer, 3);
  save(folder_ / "model.safetensors", model, &optimizer);
  double expected = train(model, optimizer, 3);

  nn::Linear other(4, 2);
  optim::Adam resumed(other.named_parameters(), {.lr = 0.01});
  load(folder_ / "model.safetensors", other, &resumed);
  EXPECT_EQ(train(other, resumed, 3), expected);
  EXPECT_TRUE(other.weight.value().same_bytes(model.weight.value()));

  nn::Linear wrong(4, 3);
  EXPECT_THAT(message(folder_ / "model.safetensors", [&](const fs::path& path) { load(path, wrong); }),
              HasSubstr("tensor 'weight' is f32[2,4], expected f32[3,4]"));
  configure({});
}

// Dropout's masks, the optimizer's moments and the order of the batches go on as if nothing had stopped, in a process
// that made other random modules before.
TEST_F(Files, TrainingWithDropoutAndShuffledBatchesResumesWithTheSameBits) {
  configure({.use_cache = false});
  manual_seed(5);
  data::TensorDataset samples(randn({22, 6}).value(), randn({22, 2}).value());
  struct Trainer {
    nn::Sequential model{nn::Linear(6, 16), nn::ReLU(), nn::Dropout(0.5),
                         nn::Sequential(nn::Dropout(0.25), nn::Linear(16, 2))};
    optim::Adam optimizer{model.named_parameters(), {.lr = 0.01}};
    TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer);
    std::vector<double> train(data::DataLoader& loader, int epochs) {
      std::vector<double> losses;
      for (int epoch = 0; epoch < epochs; ++epoch)
        for (const data::Batch& batch : loader) losses.push_back(step(batch.input, batch.target).item());
      return losses;
    }
  };
  const data::LoaderOptions options{.batch_size = 8, .shuffle = true, .seed = 9};
  Trainer whole;
  data::DataLoader loader(samples, options);
  whole.train(loader, 2);
  save(folder_ / "stopped.safetensors", whole.model, &whole.optimizer);
  std::vector<double> expected = whole.train(loader, 2);

  manual_seed(77);
  nn::Dropout another(0.5);
  Trainer resumed;
  data::DataLoader again(samples, options);
  again.set_epoch(2);
  load(folder_ / "stopped.safetensors", resumed.model, &resumed.optimizer);
  EXPECT_EQ(resumed.train(again, 2), expected);
  for (size_t i = 0; i < whole.model.parameters().size(); ++i)
    EXPECT_TRUE(resumed.model.parameters()[i].value().same_bytes(whole.model.parameters()[i].value())) << i;

  // Without its random states the file is still good, but other masks are drawn.
  NamedTensors tensors = read_safetensors(folder_ / "stopped.safetensors");
  EXPECT_EQ(tensors.erase("random.2") + tensors.erase("random.3.0"), 2u);
  write_safetensors(folder_ / "foreign.safetensors", tensors);
  Trainer foreign;
  again.set_epoch(2);
  load(folder_ / "foreign.safetensors", foreign.model, &foreign.optimizer);
  EXPECT_NE(foreign.train(again, 2), expected);

  tensors.emplace("random.2", HostTensor::scalar<int64_t>(1));
  write_safetensors(folder_ / "wrong.safetensors", tensors);
  EXPECT_THAT(message(folder_ / "wrong.safetensors",
                      [&](const fs::path& path) { load(path, foreign.model, &foreign.optimizer); }),
              HasSubstr("'random.2' is i64[], expected i64[2]: a seed and a counter"));
  configure({});
}

// Every device of a mesh keeps a replica of each state: a load reaches them all.
TEST_F(Files, ALoadReachesTheReplicasOfDataParallelTraining) {
  configure({.devices = "cpu,sim:2", .use_cache = false, .notice = [](std::string_view) {}});
  manual_seed(5);
  Tensor x = randn({8, 4}), y = randn({8, 2});
  nn::Linear model(4, 2);
  optim::Adam optimizer(model.named_parameters(), {.lr = 0.01});
  TrainingStep step = compile_training_step(model, nn::MSELoss(), optimizer,
                                            {.name = "step", .data_parallel = {{"sim", 0}, {"sim", 1}}});
  step(x, y).item();
  save(folder_ / "parallel.safetensors", model, &optimizer);
  std::vector<double> expected, found;
  for (int i = 0; i < 4; ++i) expected.push_back(step(x, y).item());
  load(folder_ / "parallel.safetensors", model, &optimizer);
  for (int i = 0; i < 4; ++i) found.push_back(step(x, y).item());
  EXPECT_EQ(found, expected);
  configure({});
}

TEST_F(Files, IdxReadsAndRefuses) {
  auto read = [](const fs::path& path) { data::read_idx(path); };
  std::string good = std::string("\0\0\x08\x02\0\0\0\x02\0\0\0\x03", 12) + "abcdef";
  HostTensor tensor = data::read_idx(write("good.idx", good));
  EXPECT_EQ(tensor.sizes(), (Sizes{2, 3}));
  EXPECT_EQ(tensor.data<uint8_t>()[5], 'f');
  std::string big_endian = std::string("\0\0\x0c\x01\0\0\0\x01\0\0\x01\x02", 12);
  EXPECT_EQ(data::read_idx(write("i32.idx", big_endian)).integer(0), 258);
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_NE(message(write("cut.idx", good.substr(0, length)), read), "no error") << length;
  EXPECT_THAT(message(write("long.idx", good + "x"), read), HasSubstr("after the 6 of its elements"));
  EXPECT_THAT(message(write("code.idx", std::string("\0\0\x77\x01\0\0\0\x01", 8) + "a"), read), HasSubstr("0x77"));
  EXPECT_THAT(message(write("text.idx", "hello world"), read), HasSubstr("two zero bytes"));
  EXPECT_THAT(
      message(write("absurd.idx", std::string("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16)),
              read),
      HasSubstr("overflow"));
  EXPECT_THAT(message(write("hostile.idx", std::string("\0\0\x08\x02\x0f\xff\xff\xff\x0f\xff\xff\xff", 12)), read),
              HasSubstr("holds at most 0"));
  EXPECT_NE(message(write("bad.gz", "\x1f\x8b\x08garbage that is no gzip"), read), "no error");
}

// The checksum stands at the end of gzip data: without it nobody knows whether the elements are right.
TEST_F(Files, GzipThatIsCutFlippedOrFollowedIsRefused) {
  auto read = [](const fs::path& path) { data::read_idx(path); };
  // gzip -n of an idx file of u8[2,3], "abcdef"
  const std::string good(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x63\x60\xe0\x60\x62\x60\x60\x00\x61\xe6\xc4\xa4\xe4\x94\xd4\x34"
      "\x00\x83\xda\x46\x2f\x12\x00\x00\x00",
      35);
  EXPECT_EQ(data::read_idx(write("good.gz", good)).integer(5), 'f');
  for (size_t length = 2; length < good.size(); ++length)
    EXPECT_NE(message(write("cut.gz", good.substr(0, length)), read), "no error") << length;
  for (size_t i = 10; i < good.size(); ++i) {  // the header's time and system do not matter
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    EXPECT_NE(message(write("flipped.gz", flipped), read), "no error") << i;
  }
  EXPECT_THAT(message(write("followed.gz", good + "x"), read), HasSubstr("after the 6 of its elements"));
}

TEST_F(Files, AFailedSaveLeavesTheOldFile) {
  write_safetensors(folder_ / "keep", {{"a", HostTensor::scalar(1.0f)}});
  fs::create_directories(folder_ / "taken");
  EXPECT_THROW(write_safetensors(folder_ / "taken", {{"a", HostTensor::scalar(2.0f)}}), Error);
  EXPECT_THROW(write_safetensors(folder_ / "no_folder" / "x", {{"a", HostTensor::scalar(2.0f)}}), Error);
  EXPECT_EQ(read_safetensors(folder_ / "keep").at("a").number(0), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 2) << "no temporary stays";
}

}  // namespace
}  // namespace placewright
