#include "tests/integration/local_cluster.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/child_process.h"
#include "common/file.h"
#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kReadyTimeout = absl::Seconds(30);
constexpr absl::Duration kLook = absl::Milliseconds(20);

// The parent of a process; 0 where it is gone.
pid_t ParentOf(const std::filesystem::path& proc) {
  std::ifstream file(proc / "stat");
  std::string stat;
  std::getline(file, stat);
  const size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return 0;
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  return fields.size() > 1 ? std::stoi(fields[1]) : 0;
}

}  // namespace

LocalCluster::LocalCluster(std::filesystem::path folder)
    : folder_(std::move(folder)), keeper_([this](const std::stop_token& stop) { Keep(stop); }) {}

LocalCluster::~LocalCluster() { Stop(); }

void LocalCluster::Start(const std::string& name, const std::string& binary, const std::string& yaml) {
  const std::string all =
      absl::StrCat(yaml, "log: ", LogOf(name).string(), "\nready_file: ", (folder_ / (name + ".ready.json")).string(),
                   "\nmetrics_listen: 127.0.0.1:0\n");
  EXPECT_TRUE(WriteFileAtomic(folder_ / (name + ".yaml"), all).ok());
  MutexLock lock(mu_);
  processes_[name] = {.binary = binary, .pid = StartLife(name, binary)};
}

pid_t LocalCluster::StartLife(const std::string& name, const std::string& binary) const {
  std::error_code ignored;
  std::filesystem::remove(folder_ / (name + ".ready.json"), ignored);
  ProcessSpec spec;
  spec.binary = "/usr/bin/setpriv";
  spec.name = "setpriv";
  // The kernel ends it when the test is gone.
  spec.arguments = {"--pdeathsig", "KILL", EVILMOE_BIN_DIR "/" + binary, "--config", (folder_ / (name + ".yaml"))};
  spec.output = folder_ / (name + ".stderr");
  const absl::StatusOr<pid_t> pid = Spawn(spec);
  EXPECT_TRUE(pid.ok()) << pid.status();
  return pid.value_or(0);
}

void LocalCluster::Keep(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      MutexLock lock(mu_);
      for (auto& [name, process] : processes_) {
        if (process.pid == 0) continue;
        const std::optional<int> status = Reap(process.pid);
        if (!status) continue;
        if (!stopping_) ends_.push_back(absl::StrCat(name, ": ", DescribeExit(*status)));
        process.pid = stopping_ ? 0 : StartLife(name, process.binary);
      }
    }
    absl::SleepFor(kLook);
  }
}

void LocalCluster::Stop() {
  std::vector<std::string> names;
  {
    MutexLock lock(mu_);
    stopping_ = true;
    for (const auto& [name, process] : processes_) names.push_back(name);
  }
  const auto servers = std::ranges::stable_partition(
      names, [](const std::string& name) { return name != "coordinator" && name != "grader"; });
  StopAll({names.begin(), servers.begin()});
  StopAll({servers.begin(), servers.end()});
  if (keeper_.joinable()) {
    keeper_.request_stop();
    keeper_.join();
  }
}

void LocalCluster::StopAll(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    Signal(name, SIGCONT);
    Signal(name, SIGTERM);
  }
  for (const std::string& name : names) {
    if (WaitUntil(kEndTimeout, [&] { return PidOf(name) == 0; })) continue;
    ADD_FAILURE() << name << " did not end at SIGTERM";
    Signal(name, SIGKILL);
  }
}

nlohmann::json LocalCluster::AwaitReady(const std::string& name) const {
  nlohmann::json ready = nlohmann::json::object();
  WaitUntil(kReadyTimeout, [&] {
    const nlohmann::json read =
        nlohmann::json::parse(ReadFile(folder_ / (name + ".ready.json")).value_or(""), nullptr, false);
    if (!read.is_object() || read.value("pid", 0) != PidOf(name)) return false;
    ready = read;
    return true;
  });
  EXPECT_FALSE(ready.empty()) << name << " did not become ready: " << ReadFile(folder_ / (name + ".stderr")).value_or("");
  return ready;
}

pid_t LocalCluster::PidOf(const std::string& name) const {
  MutexLock lock(mu_);
  const auto it = processes_.find(name);
  return it == processes_.end() ? 0 : it->second.pid;
}

std::vector<pid_t> LocalCluster::ChildrenOf(const std::string& name) const {
  std::vector<pid_t> children;
  const pid_t parent = PidOf(name);
  if (parent == 0) return children;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    if (ParentOf(it->path()) == parent) children.push_back(std::stoi(it->path().filename()));
  }
  std::ranges::sort(children);
  return children;
}

bool LocalCluster::Signal(const std::string& name, int signal) const {
  MutexLock lock(mu_);  // a pid that is not reaped is nobody else's
  const auto it = processes_.find(name);
  return it != processes_.end() && it->second.pid != 0 && kill(it->second.pid, signal) == 0;
}

std::vector<std::string> LocalCluster::Ends() const {
  MutexLock lock(mu_);
  return ends_;
}

}  // namespace evilmoe
