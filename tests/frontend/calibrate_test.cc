// A calibration is found again by the sessions that it was kept for.
#include "placewright/calibrate.h"

#include <cstdlib>
#include <filesystem>
#include <unistd.h>

#include <gtest/gtest.h>

#include "frontend/emulated_gpu.h"
#include "placewright/placewright.h"

namespace placewright {
namespace {

class Calibrated : public ::testing::Test {
 protected:
  Calibrated() : folder_(std::filesystem::temp_directory_path() / ("calibrated." + std::to_string(getpid()))) {
    setenv("PLACEWRIGHT_CACHE", (folder_ / "default").c_str(), 1);
  }
  ~Calibrated() override {
    configure({});
    unsetenv("PLACEWRIGHT_CACHE");
    std::filesystem::remove_all(folder_);
  }

  static Profile made_up(const Machine& machine) {
    Profile profile;
    profile.machine = "test";
    for (const DeviceSpec& device : machine.devices) profile.launches.push_back({device.id, 1e-6});
    return profile;
  }

  const std::filesystem::path folder_;
};

TEST_F(Calibrated, MemoryLimitsOfASessionChangeNothing) {
  configure({.devices = "cpu,sim:1"});
  const Profile profile = made_up(machine());
  keep_calibration(machine(), profile);
  EXPECT_EQ(try_load_calibration(machine()), profile);
  configure({.devices = "cpu,sim:1", .memory = {{"sim", 1 << 20}}});
  EXPECT_EQ(try_load_calibration(machine()), profile);
  configure({.devices = "cpu,sim:2"});
  EXPECT_EQ(try_load_calibration(machine()), std::nullopt);
}

TEST_F(Calibrated, ItIsKeptInTheFolderInWhichSessionsLook) {
  const std::string own = folder_ / "own";
  configure({.devices = "cpu,sim:1", .cache_directory = own});
  const Profile profile = made_up(machine());
  keep_calibration(machine(), profile);
  EXPECT_EQ(try_load_calibration(machine(), own), profile);
  EXPECT_EQ(try_load_calibration(machine()), std::nullopt);
}

// The emulated GPU rounds factors, the processor does not. Emulated, large sizes would take minutes: they are left out.
class CalibratedGpu : public testing::EmulatedGpu {};

TEST_F(CalibratedGpu, ProductsAreMeasuredInEachPrecisionThatTheDeviceComputes) {
  const Machine before = machine();
  const DeviceId cpu{"cpu", 0}, gpu{"cuda", 0};
  const Profile profile = calibrate();
  EXPECT_NO_THROW(verify_profile(profile, before));
  EXPECT_EQ(parse_profile(print_profile(profile)), profile);
  for (const char* op_class : {"contraction", "convolution"})
    for (Precision precision : {Precision::f32, Precision::tf32, Precision::bf16}) {
      EXPECT_GT(profile.op_seconds(gpu, op_class, DType::f32, 1e6, precision).value_or(0), 0) << op_class;
      EXPECT_EQ(profile.op_seconds(cpu, op_class, DType::f32, 1e6, precision).has_value(), precision == Precision::f32);
    }
  EXPECT_GT(profile.launch_seconds(gpu).value_or(0), 0);
  const Machine after = apply_profile(before, profile);
  for (Precision precision : {Precision::tf32, Precision::bf16}) {
    const Profile::OpCost* curve = profile.nearest(after.find(gpu), "contraction", DType::f32, precision);
    const double measured = curve->points.back().size / curve->points.back().seconds;
    EXPECT_EQ(curve->precision, precision);
    EXPECT_NEAR(after.find(gpu).rate("contraction", DType::f32, precision), measured, 0.01 * measured);
    EXPECT_FALSE(after.find(cpu).has_rate("contraction", DType::f32, precision));
  }
}

}  // namespace
}  // namespace placewright
