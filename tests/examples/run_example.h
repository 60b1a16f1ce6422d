// Runs the built examples as their users do.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>

namespace placewright::testing {

struct Outcome {
  std::string text;  // both streams, each in its own order
  int status = -1;
};

inline Outcome run(const std::string& command, const std::string& environment = "") {
  std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "examples";
  Outcome outcome;
  FILE* pipe = ::popen((environment + " timeout 200 " + (folder / command).string() + " 2>&1").c_str(), "r");
  if (!pipe) return outcome;
  std::array<char, 4096> buffer;
  while (size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.text.append(buffer.data(), got);
  int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

inline std::string ok(const std::string& command, const std::string& environment = "") {
  Outcome outcome = run(command, environment);
  EXPECT_EQ(outcome.status, 0) << command << "\n" << outcome.text;
  return outcome.text;
}

inline std::string fails(const std::string& command, const std::string& environment = "") {
  Outcome outcome = run(command, environment);
  EXPECT_EQ(outcome.status, 1) << command << "\n" << outcome.text;
  return outcome.text;
}

inline int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

inline std::vector<double> numbers_after(const std::string& text, const std::string& what) {
  std::vector<double> found;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    found.push_back(std::atof(text.c_str() + at + what.size()));
  return found;
}

}  // namespace placewright::testing
