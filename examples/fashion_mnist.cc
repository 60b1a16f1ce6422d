// Trains a convolutional network (or an MLP) on Fashion-MNIST and says where everything ran and what was copied.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <placewright/placewright.h>

#include "placewright/base/file.h"

namespace {

namespace fs = std::filesystem;

struct Options {
  int epochs = 5, batch = 64, threads = 0;
  uint64_t seed = 1;
  double lr = 1e-3;
  int64_t limit = 0;
  std::string model = "cnn", devices = "cpu", place, data = "/usr/share/datasets/fashion-mnist";
  std::string report, csv, json, dump;
  bool dump_placed = false, strict = false;
};

// Images come as bytes and become numbers in [0, 1] on the device that computes with them.
class Network : public pw::nn::Module {
 public:
  explicit Network(pw::nn::Sequential layers) : layers_(add<pw::nn::Sequential>("layers", std::move(layers))) {}
  pw::Tensor forward(const pw::Tensor& images) override {
    pw::Tensor x = images.to(pw::DType::f32) / 255;
    return layers_(x.reshape({-1, 1, 28, 28}));
  }
  std::string description() const override { return "Network"; }

 private:
  pw::nn::Sequential& layers_;
};

pw::nn::Sequential make_layers(const std::string& model) {
  using namespace pw::nn;
  if (model == "mlp") return Sequential(Flatten(), Linear(784, 512), ReLU(), Linear(512, 512), ReLU(), Linear(512, 10));
  return Sequential(Conv2d(1, 32, 3), ReLU(), Conv2d(32, 64, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(9216, 128),
                    ReLU(), Linear(128, 10));
}

pw::data::TensorDataset load(const fs::path& folder, const std::string& part, int64_t limit) {
  pw::HostTensor images = pw::data::read_idx(folder / (part + "-images-idx3-ubyte.gz"));
  pw::HostTensor labels = pw::data::read_idx(folder / (part + "-labels-idx1-ubyte.gz"));
  if (images.sizes().size() != 3 || images.sizes()[1] != 28 || images.sizes()[2] != 28)
    throw pw::Error((folder / part).string() + ": images of " + pw::to_string(images.sizes()) + ", expected [n,28,28]");
  for (const pw::HostTensor* tensor : {&images, &labels})
    if (tensor->dtype() != pw::DType::u8)
      throw pw::Error((folder / part).string() + ": found elements of " + std::string(pw::name(tensor->dtype())) +
                      ", expected u8");
  if (images.sizes()[0] == 0 || labels.sizes() != pw::Sizes{images.sizes()[0]})
    throw pw::Error((folder / part).string() + ": " + std::to_string(images.sizes()[0]) + " images and labels of " +
                    pw::to_string(labels.sizes()) + ", expected one label for each, and one image at least");
  if (limit <= 0 || limit >= images.sizes()[0]) return {images, labels};
  pw::HostTensor some_images(images.dtype(), {limit, 28, 28}), some_labels(labels.dtype(), {limit});
  std::copy_n(images.raw(), some_images.bytes(), some_images.raw());
  std::copy_n(labels.raw(), some_labels.bytes(), some_labels.raw());
  return {some_images, some_labels};
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Only on a terminal; nothing that a log file would keep.
void show_progress(int epoch, int64_t done, int64_t all) {
  static const bool is_terminal = isatty(STDERR_FILENO);
  if (!is_terminal || (done % 20 != 0 && done != all)) return;
  int filled = static_cast<int>(30 * done / all);
  std::fprintf(stderr, "\repoch %d [%s%s] %lld/%lld", epoch, std::string(filled, '=').c_str(),
               std::string(30 - filled, ' ').c_str(), static_cast<long long>(done), static_cast<long long>(all));
  if (done == all) std::fprintf(stderr, "\r%60s\r", "");
}

struct Epoch {
  double loss = 0, accuracy = 0, seconds = 0;
};

void run(const Options& options) {
  pw::SessionOptions session;
  session.devices = options.devices;
  session.threads = options.threads;
  session.seed = options.seed;
  session.strict = options.strict;
  pw::configure(session);

  for (const std::string& path : {options.report, options.csv, options.json, options.dump})
    if (!path.empty()) pw::AtomicFile probe(path);  // a place that cannot be written to is said before the training

  pw::data::TensorDataset train = load(options.data, "train", options.limit),
                          test = load(options.data, "t10k", options.limit);
  Network model(make_layers(options.model));
  if (!options.place.empty()) model.to(options.place);
  pw::optim::Adam optimizer(model.named_parameters(), {.lr = options.lr});
  pw::TrainingStep step = pw::compile_training_step(model, pw::nn::CrossEntropyLoss(), optimizer);
  pw::CompiledFunction count_correct = pw::compile([&](const pw::Tensor& images, const pw::Tensor& labels) {
    pw::Tensor right = model(images).argmax(1) == labels.to(pw::DType::i64);
    return right.to(pw::DType::f32).sum();
  });

  pw::data::DataLoader batches(train, {.batch_size = options.batch, .shuffle = true, .seed = options.seed});
  pw::data::DataLoader test_batches(test, {.batch_size = options.batch});
  auto placed = [&](const pw::Tensor& x) { return options.place.empty() ? x : x.to(options.place); };
  std::vector<Epoch> epochs;
  double first_compile_ms = 0;
  for (int number = 1; number <= options.epochs; ++number) {
    auto begin = std::chrono::steady_clock::now();
    Epoch epoch;
    int64_t done = 0;
    pw::Tensor last;
    for (const pw::data::Batch& batch : batches) {
      pw::Tensor loss = step(placed(batch.input), placed(batch.target));
      if (last.is_defined()) epoch.loss += last.item();  // one step behind: the device never waits for us
      last = loss;
      if (number == 1 && done == 0) {
        first_compile_ms = 1e3 * step.last().compile_seconds();
        if (!options.dump.empty())
          pw::write_file_atomically(
              options.dump, pw::print_graph(options.dump_placed ? step.last().placed() : step.last().captured()));
      }
      show_progress(number, ++done, batches.batches());
    }
    epoch.loss = (epoch.loss + last.item()) / static_cast<double>(batches.batches());
    double right = 0;
    for (const pw::data::Batch& batch : test_batches)
      right += count_correct(placed(batch.input), placed(batch.target)).item();
    epoch.accuracy = right / static_cast<double>(test.size());
    epoch.seconds = seconds_since(begin);
    std::printf("epoch %d: loss %.6f, test accuracy %.2f%%, %.1f s\n", number, epoch.loss, 100 * epoch.accuracy,
                epoch.seconds);
    std::fflush(stdout);
    epochs.push_back(epoch);
  }

  std::string report = pw::placement_report(step.last());
  if (options.report.empty())
    std::printf("%s", report.c_str());
  else
    pw::write_file_atomically(options.report, report);
  if (!options.csv.empty()) {
    std::string text = "epoch,loss,test_accuracy,seconds\n";
    for (size_t i = 0; i < epochs.size(); ++i)
      text += std::to_string(i + 1) + "," + std::to_string(epochs[i].loss) + "," + std::to_string(epochs[i].accuracy) +
              "," + std::to_string(epochs[i].seconds) + "\n";
    pw::write_file_atomically(options.csv, text);
  }
  if (!options.json.empty()) {
    nlohmann::json json{{"model", options.model},
                        {"test_accuracy", epochs.empty() ? 0.0 : epochs.back().accuracy},
                        {"first_compile_ms", first_compile_ms},
                        {"epochs", nlohmann::json::array()}};
    for (const Epoch& epoch : epochs)
      json["epochs"].push_back({{"loss", epoch.loss}, {"accuracy", epoch.accuracy}, {"seconds", epoch.seconds}});
    pw::write_file_atomically(options.json, json.dump(2) + "\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Trains a network on Fashion-MNIST and prints where everything ran, what was copied and why."};
  app.add_option("--epochs", options.epochs, "passes over the training images")->check(CLI::Range(1, 10000));
  app.add_option("--batch", options.batch, "images in a step")->check(CLI::Range(1, 60000));
  app.add_option("--threads", options.threads, "of the CPU; 0: all")->check(CLI::Range(0, 1024));
  app.add_option("--seed", options.seed, "of initial weights and shuffles");
  app.add_option("--lr", options.lr, "Adam's learning rate")->check(CLI::PositiveNumber);
  app.add_option("--model", options.model, "cnn or mlp")->check(CLI::IsMember({"cnn", "mlp"}));
  app.add_option("--devices", options.devices, "devices to open, such as cpu,sim:2");
  app.add_option("--place", options.place, "device to move model and batches to, such as sim:0");
  app.add_flag("--strict", options.strict, "copies that nobody asked for are errors");
  app.add_option("--data", options.data, "folder of the idx.gz files");
  app.add_option("--limit", options.limit, "use only so many images of each part; 0: all");
  app.add_option("--report", options.report, "write the placement report to a file");
  app.add_option("--csv", options.csv, "write a line an epoch to a file");
  app.add_option("--json", options.json, "write the results to a file");
  app.add_option("--dump", options.dump, "write the captured training step to a .pw file");
  app.add_flag("--dump-placed", options.dump_placed, "dump it after all passes, with devices and transfers");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) throw pw::Error("cannot write to standard output");
    return 0;
  } catch (const pw::Error& error) {
    std::fprintf(stderr, "fashion_mnist: %s\n", error.what());
    return 1;
  }
}
