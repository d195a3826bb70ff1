// Checks of doctor_checks.h that look at this machine's disk, sockets and memory, and at a run file's model.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "policy/model_config.h"
#include "services/ctl/doctor_checks.h"
#include "services/ctl/stack_resources.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using State = DoctorCheck::State;

constexpr double kGib = 1 << 30;
constexpr double kLittleRoom = 10 * kGib;
constexpr double kNoRoom = 1 * kGib;

// Binds and listens; "" or what went wrong.
std::string TryListen(int domain, const sockaddr* address, socklen_t size) {
  const OwnedFd fd(socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const bool ok = fd.get() >= 0 && bind(fd.get(), address, size) == 0 && listen(fd.get(), 1) == 0;
  return ok ? "" : std::strerror(errno);
}

std::string TryLoopback() {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return TryListen(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

std::string TryUnixSocket() {
  const absl::StatusOr<TemporaryFolder> folder = TemporaryFolder::Make();
  if (!folder.ok()) return std::string(folder.status().message());
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (folder->path() / "s").c_str(), sizeof address.sun_path - 1);
  return TryListen(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

// The nearest folder above that is there.
fs::path Existing(fs::path path) {
  std::error_code ignored;
  while (!fs::exists(path, ignored) && path.has_parent_path() && path != path.parent_path()) path = path.parent_path();
  return path;
}

// MemAvailable, bytes; 0 = unknown.
double AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  for (std::string name, unit; file >> name;) {
    double kib = 0;
    file >> kib;
    std::getline(file, unit);
    if (name == "MemAvailable:") return kib * 1024;
  }
  return 0;
}

DoctorCheck CheckModel(const RunConfig& config) {
  const fs::path& folder = config.model.path;
  const absl::StatusOr<Qwen3Config> model = ReadQwen3Config(folder);
  if (!model.ok()) return {"model", State::kFailed, std::string(model.status().message()), "download it again"};
  std::error_code error;
  double bytes = 0;
  int num_files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++num_files;
    std::ifstream file(entry.path(), std::ios::binary);
    uint64_t header = 0;
    file.read(reinterpret_cast<char*>(&header), sizeof header);
    const double size = static_cast<double>(entry.file_size(error));
    if (!file || static_cast<double>(header) + sizeof header > size) {
      return {"model", State::kFailed, absl::StrCat(entry.path().string(), ": cut short or no safetensors file"),
              "download it again; a pointer of Git LFS looks like this too"};
    }
    bytes += size;
  }
  if (num_files == 0) return {"model", State::kFailed, absl::StrCat(folder.string(), ": no *.safetensors"), "download it"};
  if (!fs::exists(folder / "tokenizer.json", error)) {
    return {"model", State::kFailed, absl::StrCat(folder.string(), ": no tokenizer.json"), "download it"};
  }
  const std::string what = absl::StrFormat("%s: %d weight files, %.2f GB", folder.string(), num_files, bytes / 1e9);
  const double memory = AvailableMemory();
  if (memory > 0 && bytes > memory) {
    return {"model", State::kWarning, absl::StrFormat("%s; %.1f GB of memory are free", what, memory / 1e9),
            "it does not fit this machine's memory: train it on a GPU, or a larger machine"};
  }
  return {"model", State::kOk, what, ""};
}

}  // namespace

DoctorCheck CheckSockets() {
  if (const std::string bad = TryUnixSocket(); !bad.empty()) {
    return {"ports", State::kFailed, absl::StrCat("no Unix socket in /tmp: ", bad), "make /tmp writable"};
  }
  if (const std::string bad = TryLoopback(); !bad.empty()) {
    return {"ports", State::kFailed, absl::StrCat("no port on 127.0.0.1: ", bad), "bring the loopback device up"};
  }
  return {"ports", State::kOk, "a socket in /tmp and a port on 127.0.0.1 can be had", ""};
}

DoctorCheck CheckHome(const fs::path& home) {
  std::error_code error;
  const fs::path there = Existing(home);
  const fs::space_info space = fs::space(there, error);
  if (error) return {"disk", State::kFailed, absl::StrCat(there.string(), ": ", error.message()), "set EVILMOE_HOME"};
  if (access(there.c_str(), W_OK) != 0) {
    return {"disk", State::kFailed, absl::StrCat(there.string(), ": cannot be written to"),
            "set EVILMOE_HOME to a folder of yours"};
  }
  const double available = static_cast<double>(space.available);
  const std::string what = absl::StrFormat("%.1f GB free for runs in %s", available / 1e9, home.string());
  if (available < kNoRoom) return {"disk", State::kFailed, what, "free some, or set EVILMOE_HOME to another disk"};
  if (available < kLittleRoom) return {"disk", State::kWarning, what, "a run of a large model may fill that"};
  return {"disk", State::kOk, what, ""};
}

std::vector<DoctorCheck> CheckRunFile(const fs::path& file) {
  const absl::StatusOr<std::string> yaml = ReadFile(file, size_t{1} << 20);
  if (!yaml.ok()) return {{"run file", State::kFailed, std::string(yaml.status().message()), "name a run file"}};
  const absl::StatusOr<RunConfig> config = ParseRunConfig(*yaml, file.string(), fs::absolute(file).parent_path());
  if (config.ok()) {
    return {{"run file", State::kOk, absl::StrCat(file.string(), ": ", config->name, ", ", config->arm), ""},
            CheckModel(*config)};
  }
  std::vector<DoctorCheck> checks;
  for (const absl::string_view line : absl::StrSplit(config.status().message(), '\n')) {
    checks.push_back({"run file", State::kFailed, std::string(line), ""});
  }
  return checks;
}

}  // namespace evilmoe
