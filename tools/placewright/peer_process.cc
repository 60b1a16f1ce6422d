#include "peer_process.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "placewright/base/error.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::json;

// torch.compile and XLA may take that long for one program.
constexpr std::chrono::seconds patience{300};

}  // namespace

PeerProcess::PeerProcess(const std::string& python, const std::string& script, const std::string& peer, int threads,
                         const std::string& kind)
    : name_(peer) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) != 0) throw Error(fmt::format("peer {}: no pipe: {}", peer, std::strerror(errno)));
  if (pipe2(from, O_CLOEXEC) != 0) {
    close(to[0]);
    close(to[1]);
    throw Error(fmt::format("peer {}: no pipe: {}", peer, std::strerror(errno)));
  }
  std::string thread_count = std::to_string(threads);
  const char* argv[] = {python.c_str(), script.c_str(), peer.c_str(), thread_count.c_str(), kind.c_str(), nullptr};
  child_ = fork();
  if (child_ == 0) {
    dup2(to[0], STDIN_FILENO);
    dup2(from[1], STDOUT_FILENO);
    if (int null = open("/dev/null", O_WRONLY); null >= 0) dup2(null, STDERR_FILENO);
    execv(python.c_str(), const_cast<char**>(argv));
    _exit(127);
  }
  close(to[0]);
  close(from[1]);
  to_ = to[1];
  from_ = from[0];
  if (child_ < 0) fail("cannot start a process");
  std::signal(SIGPIPE, SIG_IGN);  // a peer that died is an Error of the write, not the end of this process

  Json hello = Json::parse(read_line());
  version_ = hello.at("version").get<std::string>();
  programs_ = hello.at("programs").get<std::vector<std::string>>();
}

PeerProcess::~PeerProcess() {
  if (to_ >= 0) close(to_);  // the end of its input ends it
  if (from_ >= 0) close(from_);
  if (child_ > 0) waitpid(child_, nullptr, 0);
}

bool PeerProcess::has(std::string_view program) const {
  return std::find(programs_.begin(), programs_.end(), program.substr(0, program.find('-'))) != programs_.end();
}

void PeerProcess::prepare(const std::string& program) { ask("prepare " + program); }

std::vector<double> PeerProcess::check() { return Json::parse(ask("check")).at("values").get<std::vector<double>>(); }

PeerProcess::Round PeerProcess::round(int64_t steps) {
  Json answer = Json::parse(ask(fmt::format("round {}", steps)));
  return {answer.at("microseconds").get<double>(), answer.at("steps").get<int64_t>(),
          answer.at("switches").get<int64_t>()};
}

std::string PeerProcess::ask(const std::string& line) {
  std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    ssize_t written = write(to_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("it ended");
    done += static_cast<size_t>(written);
  }
  return read_line();
}

std::string PeerProcess::read_line() {
  auto end = std::chrono::steady_clock::now() + patience;
  size_t newline;
  while ((newline = pending_.find('\n')) == std::string::npos) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wanted{from_, POLLIN, 0};
    int ready = poll(&wanted, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      kill(child_, SIGKILL);
      fail(fmt::format("no answer within {} s", patience.count()));
    }
    char buffer[4096];
    ssize_t count = read(from_, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("it ended; set it up again with scripts/bench_peers.sh --setup-only");
    pending_.append(buffer, static_cast<size_t>(count));
  }
  std::string line = pending_.substr(0, newline);
  pending_.erase(0, newline + 1);
  Json answer = Json::parse(line, nullptr, false);
  if (!answer.is_object()) fail(fmt::format("it answered '{}', expected a JSON object", line));
  if (answer.contains("error")) fail(answer["error"].get<std::string>());
  return line;
}

void PeerProcess::fail(const std::string& what) const { throw Error(fmt::format("peer {}: {}", name_, what)); }

}  // namespace placewright::tools
