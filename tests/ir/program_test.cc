#include "placewright/ir/program.h"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "placewright/ir/check_program.h"
#include "placewright/ir/machine.h"
#include "placewright/ir/profile.h"

namespace placewright {
namespace {

using testing::HasSubstr;

// Two arguments on cpu:0, copied in, a kernel on sim:0 with a temporary that shares memory, a state, a result.
constexpr const char* text = R"(program "step" {
  stream 0 sim:0 "compute"
  stream 1 sim:0 "copy in"
  arena 0 sim:0 bytes 192
  buffer 0 argument cpu:0 f32[4,4] bytes 64 align 64 "x"
  buffer 1 temporary sim:0 f32[4,4] bytes 64 align 64 arena 0 offset 0 "x on sim"
  buffer 2 temporary sim:0 f32[4,4]{order=1,0} bytes 64 align 64 arena 0 offset 64 ""
  buffer 3 temporary sim:0 f32[4,4] bytes 64 align 64 arena 0 offset 0 "again"
  buffer 4 state sim:0 f32[4,4] bytes 64 align 64 "w"
  buffer 5 result cpu:0 f32[16] bytes 64 align 64 "y"
  buffer 6 constant sim:0 f32[3]{block=0:4} bytes 16 align 16 "c"
  buffer 7 view sim:0 f32[16] bytes 64 align 64 of 3 "flat"
  arguments (0)
  results (5)
  update 4 from 4
  block 0 "step" {
    0: copy stream 1 0 to 1 cpu:0 -> sim:0 bytes 64 value "x" origin "train.cc:3" cause "pinned \"there\""
    1: wait stream 0 for 0
    2: launch stream 0 image 0 entry "first" (1, 6, 2) written 1 scalars (-3, 7) flops 128.5 bytes 1e+20 origin "a/forward#0"
    3: launch stream 0 image 0 entry "second" (2, 4, 3, 4) written 2 scalars () flops 0 bytes 0 origin ""
    4: copy stream 0 7 to 5 sim:0 -> cpu:0 bytes 64 value "y" origin "train.cc:4" cause ""
  }
  block 1 "load" {
    0: copy stream 0 given to 6 cpu:0 -> sim:0 bytes 16 value "c" origin "" cause ""
  }
  load 1
  step 0
}
)";

TEST(Program, TextRoundTripsExactly) {
  Program program = parse_program(text);
  EXPECT_EQ(print_program(program), text);
  EXPECT_EQ(parse_program(print_program(program)), program);
  verify_program(program);
  check_program(program);
}

TEST(Program, TheLedgerListsLoadFirst) {
  std::vector<LedgerLine> ledger = transfer_ledger(parse_program(text));
  ASSERT_EQ(ledger.size(), 3u);
  EXPECT_TRUE(ledger[0].once);
  EXPECT_EQ(ledger[0].facts.bytes, 16);
  EXPECT_FALSE(ledger[1].once);
  EXPECT_EQ(ledger[1].facts.cause, "pinned \"there\"");
}

struct Mistake {
  std::string from, to, message;
};

TEST(Program, VerifierAndCheckerSayWhatIsWrong) {
  const Mistake mistakes[] = {
      {"(1, 6, 2)", "(0, 6, 2)", "kernel first runs on sim:0, but buffer 0 is on cpu:0: a copy is missing"},
      {"(1, 6, 2)", "(1, 6, 22)", "buffer 22 does not exist: there are 8"},
      {"(1, 6, 2)", "(1, 2, 6)", "buffer 6 (constant c) is only read, but written here"},
      {"  update 4 from 4\n", "", "state w is written, but no update says so"},
      {"offset 64", "offset 40", "offset 40 is not a multiple of 64"},
      {"offset 64", "offset 192", "ends at 256, its arena has 192 bytes"},
      {"arena 0 offset 64 \"\"", "arena 1 offset 64 \"\"", "arena 1 does not exist"},
      {"bytes 64 value \"x\"", "bytes 65 value \"x\"", "the facts say 65 bytes, the buffer has 64"},
      {"f32[4,4] bytes 64 align 64 \"w\"", "f32[4,5] bytes 64 align 64 \"w\"", "64 bytes, but its type takes 80"},
      {"results (5)", "results ()", "result 5 is not listed"},
      {"wait stream 0 for 0", "wait stream 0 for 1", "waits for instruction 1, which is not an earlier one"},
      {"wait stream 0 for 0", "call 0", "the block contains itself"},
      {"wait stream 0 for 0", "wait stream 1 for 0", "used by streams 1 and 0 with no wait between them"},
      {"align 64 arena 0 offset 64", "align 16 arena 0 offset 16", "is written over a part of buffer 1"},
      {"3: launch stream 0 image 0 entry \"second\" (2, 4, 3, 4) written 2",
       "3: launch stream 0 image 0 entry \"second\" (2, 4, 1, 4) written 2",
       "buffer 7 (flat) is read before anything wrote it"},
      {"(2, 4, 3, 4) written 2", "(3, 4, 2, 4) written 2", "buffer 3 (again) is read before anything wrote it"},
      {"copy stream 0 7 to 5", "copy stream 0 3 to 5",
       "buffer 3 is f32[4,4], buffer 5 is f32[16]: expected the same type"},
      {"result cpu:0 f32[16]", "result cpu:0 i32[16]",
       "buffer 7 is f32[16], buffer 5 is i32[16]: expected the same type"},
      {"update 4 from 4", "update 4 from 7", "buffer 7 is f32[16], buffer 4 is f32[4,4]: expected the same type"},
      {"f32[16] bytes 64 align 64 of 3", "f32[8] bytes 32 align 64 of 3", "32 bytes, but its memory has 64"},
      {"of 3", "of 9", "buffer 9 is no earlier one"},
      {"of 3", "of 7", "buffer 7 is no earlier one"},
      {"of 3", "of 0", "a view on another device than its memory"},
      {"of 3", "", "a view, and nothing else, is of another buffer"},
      {"f32[16] bytes 64 align 64 of 3", "f32[16]{block=0:4} bytes 64 align 64 of 3", "a view of another layout"},
      {"f32[16] bytes 64 align 64 of 3", "f32[16] bytes 64 align 128 of 3", "a view of a stricter alignment"},
      {"(2, 4, 3, 4) written 2", "(2, 4, 7, 3) written 2", "which the same launch uses"},
      {"(1, 6, 2)", "(7, 6, 2)", "buffer 7 (flat) is read before anything wrote it"},
  };
  for (const Mistake& mistake : mistakes) {
    std::string wrong = text;
    size_t at = wrong.find(mistake.from);
    ASSERT_NE(at, std::string::npos) << mistake.from;
    wrong.replace(at, mistake.from.size(), mistake.to);
    Program program = parse_program(wrong);
    std::string found = error_of([&] { verify_program(program); });
    if (found.empty()) found = error_of([&] { check_program(program); });
    EXPECT_THAT(found, HasSubstr(mistake.message)) << mistake.from << " -> " << mistake.to;
  }
}

// Memory that holds one dtype is not read as another.
TEST(Program, ARetypedViewIsCaught) {
  std::string wrong = text;
  for (const char* type : {"view sim:0 f32[16]", "result cpu:0 f32[16]"}) {
    size_t at = wrong.find(type);
    wrong.replace(wrong.find("f32", at), 3, "i32");
  }
  verify_program(parse_program(wrong));
  EXPECT_THAT(error_of([&] { check_program(parse_program(wrong)); }),
              HasSubstr("buffer 7 (flat) is read as i32, but f32 was written last"));
}

TEST(Program, ALiveBufferReusedIsCaught) {
  // Buffer 3 takes the memory of buffer 1; a later reader of 1 finds it overwritten.
  std::string wrong = text;
  size_t at = wrong.find("    4: copy");
  wrong.insert(
      at, "    4: launch stream 0 image 0 entry \"late\" (1, 2) written 1 scalars () flops 0 bytes 0 origin \"\"\n");
  wrong.replace(wrong.find("    4: copy"), 6, "    5:");
  EXPECT_EQ(
      error_of([&] { check_program(parse_program(wrong)); }),
      "program step, block 0 instruction 4: buffer 1 (x on sim) is read, but block 0 instruction 3 wrote buffer 3 "
      "(again) over it");
}

TEST(Program, ParserSurvivesDamage) {
  std::mt19937 random(3);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bad = text;
    for (int i = 0; i < 3; ++i) {
      size_t at = random() % bad.size();
      if (random() % 2)
        bad[at] = static_cast<char>(random() % 96 + 32);
      else
        bad.erase(at, random() % 20);
    }
    refused += error_of([&] {
                 Program program = parse_program(bad);
                 verify_program(program);
                 check_program(program);
                 (void)transfer_ledger(program);
               }) != "";
  }
  EXPECT_GT(refused, 1000);
}

TEST(Program, ParserNamesThePlace) {
  EXPECT_EQ(error_of([] { parse_program("program \"a\" {\n  buffer 1 state"); }),
            "program:2:10: found buffer 1, expected 0: they are numbered in order");
}

TEST(Machine, TextRoundTripsAndAbsentDevicesAreExplained) {
  const char* machine_text =
      R"(device cpu:0 "AMD \"x\"" target "x86-64+avx2" host memory 8589934592 bandwidth 30000000000 threads 2 launch 2e-08 {
  rate "contraction" f32 264000000000
}
device sim:1 "s" target "" memory 100 bandwidth 1000000000000 threads 1 launch 0 {
}
link cpu:0 -> sim:1 latency 6e-06 bandwidth 25000000000
absent "cuda" code "no-driver" cause "no driver" fix "install one"
)";
  Machine machine = parse_machine(machine_text);
  EXPECT_EQ(print_machine(machine), machine_text);
  EXPECT_EQ(machine.find({"cpu", 0}).rate("contraction", DType::f32), 2.64e11);
  EXPECT_EQ(machine.find({"cpu", 0}).rate("contraction", DType::f64), 0);
  EXPECT_NE(machine.try_link({"cpu", 0}, {"sim", 1}), nullptr);
  EXPECT_EQ(machine.try_link({"sim", 1}, {"cpu", 0}), nullptr);
  EXPECT_EQ(error_of([&] { machine.find({"cuda", 0}); }),
            "no device cuda:0 here; there are: cpu:0 sim:1; no driver (no-driver): install one");
  EXPECT_THAT(error_of([] { parse_machine("device cpu:0 \"\" target \"\" memory 1 bandwidth -2"); }),
              HasSubstr("bandwidth is -2, expected a finite number >= 0"));
}

constexpr const char* rounding_machine =
    R"(device cpu:0 "host" target "x" host memory 100 bandwidth 100 threads 1 launch 0 {
  rate "contraction" f64 5
  rate "contraction" f32 10
}
device cuda:0 "gpu" target "y" memory 100 bandwidth 100 threads 1 launch 0 {
  rate "contraction" f32 100
  rate "contraction" f32 precision tf32 700
  rate "contraction" f32 precision bf16 1500
  rate "contraction" bf16 1600
  rate "convolution" f32 90
  rate "convolution" f32 precision tf32 500
}
)";

TEST(Machine, ProductsWhoseFactorsMayBeRoundedHaveRatesOfTheirOwn) {
  Machine machine = parse_machine(rounding_machine);
  EXPECT_EQ(print_machine(machine), rounding_machine);
  const DeviceSpec &host = machine.find({"cpu", 0}), &gpu = machine.find({"cuda", 0});
  EXPECT_EQ(gpu.rate("contraction", DType::f32), 100);
  EXPECT_EQ(gpu.rate("contraction", DType::f32, Precision::tf32), 700);
  EXPECT_EQ(gpu.rate("contraction", DType::f32, Precision::bf16), 1500);
  EXPECT_EQ(gpu.rate("contraction", DType::bf16), 1600);
  // Where a device has none, it rounds nothing.
  EXPECT_EQ(gpu.rate("convolution", DType::f32, Precision::bf16), 90);
  EXPECT_EQ(host.rate("contraction", DType::f32, Precision::tf32), 10);
  EXPECT_EQ(host.rate("convolution", DType::f32, Precision::tf32), 0);
  EXPECT_FALSE(host.has_rate("contraction", DType::f32, Precision::tf32));
}

TEST(Machine, PrecisionsThatMeanNothingAreOneLine) {
  auto error_with = [](const std::string& rates) {
    return error_of([&] {
      parse_machine("device cpu:0 \"\" target \"\" host memory 1 bandwidth 1 threads 1 launch 0 {\n" + rates + "\n}\n",
                    "m");
    });
  };
  const std::string f32 = "rate \"contraction\" f32 10\n";
  EXPECT_EQ(error_with(f32 + "rate \"contraction\" f32 precision tf32 20"), "");
  EXPECT_EQ(error_with(f32 + "rate \"contraction\" f32 precision tf23 20"),
            "m:3:34: found precision tf23, expected tf32 or bf16");
  EXPECT_EQ(error_with(f32 + "rate \"contraction\" f32 precision f32 20"),
            "m:3:34: found precision f32, expected tf32 or bf16");
  EXPECT_EQ(error_with("rate \"contraction\" f64 precision tf32 20"),
            "m:2:24: found a precision of contraction f64, expected one of contraction f32 or convolution f32: only "
            "their factors are rounded");
  EXPECT_EQ(error_with("rate \"reduction\" f32 precision tf32 20"),
            "m:2:22: found a precision of reduction f32, expected one of contraction f32 or convolution f32: only "
            "their factors are rounded");
  EXPECT_EQ(error_with("rate \"contraction\" f32 precision tf32 20\n" + f32),
            "m:2:6: the rate of contraction f32 precision tf32 stands before that of contraction f32, which the device "
            "must have, too");
  EXPECT_EQ(error_with(f32 + "rate \"contraction\" f32 precision tf32 20\nrate \"contraction\" f32 precision tf32 30"),
            "m:4:6: the rate of contraction f32 precision tf32 stands here twice");
  EXPECT_THAT(error_with("rate \"contraction\" f32 tf32 20"),
              HasSubstr("found 'tf32', expected operations per second"));
}

TEST(Machine, DamagedFilesAreOneLine) {
  Machine machine;
  machine.devices = {{{"cpu", 0}, "host", "x86-64", true, 2, 1 << 30, 3e10, 1e-7, {{"contraction", DType::f32, 1e11}}},
                     {{"sim", 0}, "far", "x86-64", false, 1, 1 << 30, 1e12, 1e-6, {}}};
  machine.links = {{{"cpu", 0}, {"sim", 0}, 1e-6, 1e10}};
  machine.absent = {{"cuda", "no-driver", "no driver", "install one"}};
  Profile profile;
  profile.machine = "m";
  profile.kernels = {{{"cpu", 0}, "key", 1e-6}};
  const std::string machine_text = print_machine(machine), profile_text = print_profile(profile);
  std::mt19937 random(5);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    bool is_machine = round % 2;
    std::string bad = is_machine ? machine_text : profile_text;
    for (int i = 0; i < 2; ++i) {
      size_t at = random() % bad.size();
      if (random() % 2)
        bad[at] = static_cast<char>(random() % 96 + 32);
      else
        bad.erase(at, random() % 10);
    }
    std::string message = error_of([&] {
      if (is_machine)
        parse_machine(bad, "m");
      else
        parse_profile(bad);
    });
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    refused += !message.empty();
  }
  EXPECT_GT(refused, 1000);
}

TEST(Profile, InterpolatesAsTheLogarithmsSay) {
  for (double ratio : {1.0001, 2.0, 10.0, 1e5, 1e12})
    for (double slope : {-0.5, 0.0, 0.3, 1.0, 2.5})
      for (double share : {1e-6, 0.1, 0.5, 0.75, 0.999}) {
        std::vector<CostPoint> points{{100, 3e-6}, {100 * ratio, 3e-6 * std::pow(ratio, slope)}};
        double size = 100 * std::pow(ratio, share), expected = 3e-6 * std::pow(ratio, share * slope);
        EXPECT_NEAR(*interpolate(points, size), expected, 1e-12 * expected) << ratio << " " << slope << " " << share;
      }
  double nearly = std::nextafter(2.0, 0.0);
  EXPECT_EQ(*interpolate({{nearly, 1}, {2, 1}}, nearly), 1);
  EXPECT_TRUE(std::isfinite(*interpolate({{1e-300, 1e300}, {1e300, 1e-300}}, 1)));
}

TEST(Profile, CurvesOfPrecisionsRoundTripAndTheNearestOneIsFound) {
  const char* profile_text = R"(profile "rounding"
op cuda:0 "contraction" f64 { 10:1 }
op cuda:0 "contraction" f32 precision tf32 { 10:0.01 }
op cuda:0 "contraction" f32 { 10:0.1 }
op cpu:0 "contraction" f32 { 10:2 }
)";
  const Profile profile = parse_profile(profile_text);
  EXPECT_EQ(print_profile(profile), profile_text);
  const Machine machine = parse_machine(rounding_machine);
  const DeviceSpec &host = machine.find({"cpu", 0}), &gpu = machine.find({"cuda", 0});
  EXPECT_EQ(profile.op_seconds(gpu.id, "contraction", DType::f32, 10), 0.1);
  EXPECT_EQ(profile.op_seconds(gpu.id, "contraction", DType::f32, 10, Precision::tf32), 0.01);
  EXPECT_EQ(profile.op_seconds(gpu.id, "contraction", DType::f32, 10, Precision::bf16), std::nullopt);
  auto nearest = [&](const DeviceSpec& device, DType dtype, Precision precision) {
    const Profile::OpCost* found = profile.nearest(device, "contraction", dtype, precision);
    return found ? found->points[0].seconds : 0;
  };
  EXPECT_EQ(nearest(gpu, DType::f32, Precision::tf32), 0.01);
  EXPECT_EQ(nearest(gpu, DType::f32, Precision::f32), 0.1);
  EXPECT_EQ(nearest(gpu, DType::f32, Precision::bf16), 0.01);  // the first of the dtype
  EXPECT_EQ(nearest(gpu, DType::bf16, Precision::f32), 0.01);  // of f64 the device has no rate
  EXPECT_EQ(nearest(host, DType::f32, Precision::tf32), 2);
  EXPECT_EQ(profile.nearest(gpu, "convolution", DType::f32, Precision::f32), nullptr);
  EXPECT_EQ(error_of([] { parse_profile("profile \"\" op cpu:0 \"movement\" f32 precision bf16 { 1:1 }"); }),
            "profile:1:36: found a precision of movement f32, expected one of contraction f32 or convolution f32: only "
            "their factors are rounded");
  EXPECT_EQ(error_of([] {
              parse_profile(
                  "profile \"\"\nop cpu:0 \"contraction\" f32 precision bf16 { 1:1 }\n"
                  "op cpu:0 \"contraction\" f32 precision bf16 { 1:1 }");
            }),
            "profile:3:4: contraction f32 precision bf16 of cpu:0 stands here twice");
}

TEST(Profile, InterpolatesBetweenPointsAndRoundTrips) {
  const char* profile_text = R"(profile "laptop"
op cpu:0 "contraction" f32 { 1000:1e-06 100000:1e-05 }
link cpu:0 -> sim:0 { 4096:8e-06 }
kernel cpu:0 "key 1" 3.5e-06
)";
  Profile profile = parse_profile(profile_text);
  EXPECT_EQ(print_profile(profile), profile_text);
  DeviceId cpu{"cpu", 0};
  EXPECT_DOUBLE_EQ(*profile.op_seconds(cpu, "contraction", DType::f32, 10), 1e-6);
  EXPECT_NEAR(*profile.op_seconds(cpu, "contraction", DType::f32, 10000), 3.1622776e-6, 1e-12);
  EXPECT_NEAR(*profile.op_seconds(cpu, "contraction", DType::f32, 200000), 2e-5, 1e-12);
  EXPECT_EQ(profile.op_seconds(cpu, "contraction", DType::f64, 10), std::nullopt);
  EXPECT_DOUBLE_EQ(*profile.link_seconds(cpu, {"sim", 0}, 8192), 16e-6);
  EXPECT_EQ(*profile.kernel_seconds(cpu, "key 1"), 3.5e-6);
  EXPECT_THAT(error_of([] { parse_profile("profile \"\" op cpu:0 \"reduction\" f32 { 2:1 1:1 }"); }),
              HasSubstr("points stand in order of their sizes"));
}

}  // namespace
}  // namespace placewright
