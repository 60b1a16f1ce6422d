// A calibration is found again by the sessions that it was kept for.
#include "placewright/calibrate.h"

#include <cstdlib>
#include <filesystem>
#include <unistd.h>

#include <gtest/gtest.h>

#include "placewright/placewright.h"

namespace placewright {
namespace {

class Calibrated : public testing::Test {
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

}  // namespace
}  // namespace placewright
