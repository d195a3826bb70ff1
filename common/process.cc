#include "common/process.h"

#include <unistd.h>
#include <csignal>

#include <chrono>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

sigset_t StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void BlockStopSignals() {
  const sigset_t set = StopSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void AwaitStopSignal(std::stop_source& stop, const std::stop_token& cancel) {
  if (AwaitStopSignalFor(absl::InfiniteDuration(), cancel)) stop.request_stop();
}

bool AwaitStopSignalFor(absl::Duration timeout, const std::stop_token& cancel) {
  const sigset_t set = StopSignals();
  const timespec slice = {.tv_sec = 0, .tv_nsec = 100'000'000};
  const auto begin = std::chrono::steady_clock::now();
  while (!cancel.stop_requested() && absl::FromChrono(std::chrono::steady_clock::now() - begin) < timeout) {
    if (sigtimedwait(&set, nullptr, &slice) > 0) return true;
  }
  return false;
}

std::string HostName() {
  char name[256] = "";
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

std::string LifeId(const std::string& name, const Clock& clock) {
  return absl::StrCat(name, "-", getpid(), "-", absl::ToUnixMillis(clock.Now()));
}

absl::Status WriteReadyFile(const std::filesystem::path& path, int metrics_port, const std::vector<int>& ports,
                            int page_port) {
  if (path.empty()) return absl::OkStatus();
  nlohmann::ordered_json json = {{"pid", getpid()}, {"metrics_port", metrics_port}};
  if (!ports.empty()) json["ports"] = ports;
  if (page_port != 0) json["page_port"] = page_port;
  return WriteFileAtomic(path, json.dump() + "\n");
}

}  // namespace evilmoe
