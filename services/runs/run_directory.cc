#include "services/runs/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/runs/ulid.h"

namespace evilmoe {
namespace {

template <typename T>
bool Get(const nlohmann::json& json, const char* key, T* value) {
  const auto it = json.find(key);
  if (it == json.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!it->is_string()) return false;
  } else {
    if (!it->is_number_integer()) return false;
  }
  *value = it->get<T>();
  return true;
}

// What came later: a run.json of an earlier version lacks it.
bool GetLater(const nlohmann::json& json, RunSummary* run) {
  const auto optional = [&](const char* key, auto* value) { return !json.contains(key) || Get(json, key, value); };
  if (json.contains("adapter") && !json["adapter"].is_null()) {
    const nlohmann::json& adapter = json["adapter"];
    if (!adapter.is_object() || !Get(adapter, "step", &run->adapter_step) ||
        !Get(adapter, "sha256", &run->adapter_sha256)) {
      return false;
    }
  }
  return optional("config_sha256", &run->config_sha256) && optional("priority", &run->priority) &&
         optional("slots", &run->slots) && optional("sweep", &run->sweep) &&
         optional("model_fingerprint", &run->model_fingerprint);
}

nlohmann::ordered_json AdapterJson(const RunSummary& run) {
  if (run.adapter_step < 0) return nullptr;
  return {{"step", run.adapter_step}, {"sha256", run.adapter_sha256}};
}

// Whether somebody holds the lock of this file.
bool IsLocked(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0;
  close(fd);
  return held;
}

}  // namespace

bool IsFinished(const RunSummary& run) {
  return run.state == "succeeded" || run.state == "failed" || run.state == "cancelled";
}

nlohmann::ordered_json ToJson(const RunSummary& run) {
  return {{"run_id", run.run_id},
          {"name", run.name},
          {"arm", run.arm},
          {"state", run.state},
          {"error", run.error},
          {"steps_total", run.steps_total},
          {"steps_done", run.steps_done},
          {"created_unix_ms", run.created_unix_ms},
          {"finished_unix_ms", run.finished_unix_ms},
          {"last_seq", run.last_seq},
          {"directory", run.directory},
          {"config_sha256", run.config_sha256},
          {"priority", run.priority},
          {"slots", run.slots},
          {"sweep", run.sweep},
          {"adapter", AdapterJson(run)},
          {"model_fingerprint", run.model_fingerprint}};
}

absl::StatusOr<RunSummary> RunSummaryFromJson(const nlohmann::json& json) {
  RunSummary run;
  const bool ok = json.is_object() && Get(json, "run_id", &run.run_id) && Get(json, "name", &run.name) &&
                  Get(json, "arm", &run.arm) && Get(json, "state", &run.state) && Get(json, "error", &run.error) &&
                  Get(json, "steps_total", &run.steps_total) && Get(json, "steps_done", &run.steps_done) &&
                  Get(json, "created_unix_ms", &run.created_unix_ms) &&
                  Get(json, "finished_unix_ms", &run.finished_unix_ms) && Get(json, "last_seq", &run.last_seq) &&
                  Get(json, "directory", &run.directory) && GetLater(json, &run);
  if (!ok) return absl::InvalidArgumentError("not a run's summary: a field is missing or has another type");
  return run;
}

absl::Status RunDirectory::Create() const {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (!error && !std::filesystem::create_directory(path, error) && !error) {
    return absl::AlreadyExistsError(absl::StrCat(path.string(), ": is there already"));
  }
  for (const char* folder : {"logs", "checkpoints", "rollouts", "eval", "stack"}) {
    if (!error) std::filesystem::create_directory(path / folder, error);
  }
  if (error) return absl::UnavailableError(absl::StrCat(path.string(), ": cannot make the folder: ", error.message()));
  return absl::OkStatus();
}

absl::StatusOr<RunSummary> RunDirectory::ReadSummary() const {
  // Asked before the file is read: a stack writes its last word before it lets go of the lock.
  const bool served = HasStack() || (!IsPrivate() && HomeDirectory{path.parent_path()}.IsUp());
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(Summary(), size_t{1} << 20));
  absl::StatusOr<RunSummary> run = RunSummaryFromJson(nlohmann::json::parse(text, nullptr, false));
  if (!run.ok()) return absl::DataLossError(absl::StrCat(Summary().string(), ": ", run.status().message()));
  run->directory = path.string();  // The folder may have been moved.
  if (!IsFinished(*run) && run->state != "paused" && !served) run->state = "interrupted";
  return run;
}

absl::Status RunDirectory::WriteSummary(const RunSummary& run) const {
  return WriteFileAtomic(Summary(), ToJson(run).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

bool RunDirectory::HasStack() const { return IsLocked(StackLock()); }

bool RunDirectory::IsPrivate() const {
  std::error_code ignored;
  return std::filesystem::exists(StackConfigs(), ignored);
}

bool HomeDirectory::IsUp() const { return IsLocked(Lock()); }

std::optional<HomeDirectory::Served> HomeDirectory::ReadServed() const {
  if (!IsUp()) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(ReadFile(File(), 4096).value_or(""), nullptr, false);
  Served served;
  if (!json.is_object() || !Get(json, "pid", &served.pid) || !Get(json, "endpoint", &served.endpoint)) return {};
  Get(json, "page", &served.page);
  return served;
}

std::filesystem::path RunsHome() {
  const char* home = std::getenv("EVILMOE_HOME");
  std::error_code error;
  const std::filesystem::path path = home != nullptr && *home != '\0' ? home : "runs";
  return std::filesystem::absolute(path, error).lexically_normal();
}

std::vector<RunSummary> ListRuns(const std::filesystem::path& home) {
  std::vector<RunSummary> runs;
  std::error_code error;
  for (std::filesystem::directory_iterator it(home, error), end; !error && it != end; it.increment(error)) {
    if (!IsUlid(it->path().filename().string())) continue;
    absl::StatusOr<RunSummary> run = RunDirectory{it->path()}.ReadSummary();
    if (run.ok()) runs.push_back(*std::move(run));
  }
  std::sort(runs.begin(), runs.end(), [](const RunSummary& a, const RunSummary& b) { return a.run_id < b.run_id; });
  return runs;
}

absl::StatusOr<RunSummary> PickRun(std::span<const RunSummary> runs, std::string_view word) {
  const std::string prefix = absl::AsciiStrToUpper(absl::string_view(word.data(), word.size()));
  std::vector<const RunSummary*> by_id;
  const RunSummary* by_name = nullptr;
  for (const RunSummary& run : runs) {
    if (run.run_id == prefix) return run;
    if (!prefix.empty() && absl::StartsWith(run.run_id, prefix)) by_id.push_back(&run);
    if (run.name == word && (by_name == nullptr || by_name->run_id < run.run_id)) by_name = &run;
  }
  if (by_name != nullptr) return *by_name;
  if (by_id.size() == 1) return *by_id[0];
  if (by_id.empty()) {
    return absl::NotFoundError(absl::StrCat("run ", std::string(word),
                                            ": not found, expected an id, the start of one, "
                                            "or a name; `evilmoe-ctl list` shows them"));
  }
  const std::string names =
      absl::StrJoin(by_id, ", ", [](std::string* out, const RunSummary* run) { absl::StrAppend(out, run->run_id); });
  return absl::InvalidArgumentError(absl::StrCat("run ", std::string(word), ": ", by_id.size(), " ids start so (",
                                                 names, "), expected more letters"));
}

}  // namespace evilmoe
