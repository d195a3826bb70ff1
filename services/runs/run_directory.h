#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// What a person sees of a run. run.json of a run directory holds one; the coordinator keeps it current, so that `list`
// and `get` need no service.
struct RunSummary {
  std::string run_id;
  std::string name;
  std::string arm;
  // queued | running | pausing | paused | succeeded | failed | cancelled, or interrupted: nothing works for it now
  std::string state;
  std::string error;
  int64_t steps_total = 0;
  int64_t steps_done = 0;
  int64_t created_unix_ms = 0;
  int64_t finished_unix_ms = 0;  // 0 = not yet
  int64_t last_seq = 0;          // of the events that this summary includes
  std::string directory;         // on the coordinator's host
  std::string config_sha256;     // of config.yaml
  int priority = 0;              // [-1000, 1000], higher first
  int slots = 0;                 // of its trainer: ranks, one a device; 0 = not said
  std::string sweep;             // that it belongs to; may be empty
  int64_t adapter_step = -1;     // of the newest published adapter; -1 = none
  std::string adapter_sha256;
  std::string model_fingerprint;  // of the base model's weights; empty before its trainer has read them
};

// Every state, for help and completion.
inline constexpr std::array<const char*, 8> kRunStates = {"queued", "running",   "pausing",   "paused", "succeeded",
                                                          "failed", "cancelled", "interrupted"};

bool IsFinished(const RunSummary& run);  // succeeded, failed or cancelled
nlohmann::ordered_json ToJson(const RunSummary& run);
// InvalidArgument: a field is missing or has another type.
absl::StatusOr<RunSummary> RunSummaryFromJson(const nlohmann::json& json);

// Where things are inside <home>/<ULID>/.
struct RunDirectory {
  std::filesystem::path path;  // absolute

  std::filesystem::path Config() const { return path / "config.yaml"; }
  std::filesystem::path Summary() const { return path / "run.json"; }
  std::filesystem::path Events() const { return path / "events.jsonl"; }
  std::filesystem::path Store() const { return path / "store.db"; }
  std::filesystem::path Logs() const { return path / "logs"; }
  std::filesystem::path Targets() const { return path / "targets.json"; }
  std::filesystem::path Report() const { return path / "report.html"; }
  std::filesystem::path StackLock() const { return path / "stack.lock"; }
  std::filesystem::path StackFile() const { return path / "stack.json"; }
  std::filesystem::path StackConfigs() const { return path / "stack"; }
  std::filesystem::path Shape() const { return path / "stack" / "shape.yaml"; }  // of the stack, as last started

  // Makes the folder and those inside it. AlreadyExists when `path` is there.
  absl::Status Create() const;
  // NotFound; DataLoss: run.json cannot be read as one. A run that should go on and is not served is `interrupted`.
  absl::StatusOr<RunSummary> ReadSummary() const;
  absl::Status WriteSummary(const RunSummary& run) const;
  // Whether a stack of its own holds the lock now.
  bool HasStack() const;
  // Whether it has, or had, a stack of its own, and not the home's long-lived one.
  bool IsPrivate() const;
};

// The long-lived stack of a home (`up`): one coordinator for all runs below it.
struct HomeDirectory {
  std::filesystem::path path;  // absolute

  std::filesystem::path Store() const { return path / "coordinator.db"; }
  std::filesystem::path Lock() const { return path / "up.lock"; }
  std::filesystem::path File() const { return path / "up.json"; }  // {"pid", "endpoint", "page"}
  std::filesystem::path Folder() const { return path / "up"; }     // configs and logs of its processes
  std::filesystem::path Targets() const { return path / "targets.json"; }

  bool IsUp() const;  // whether a stack holds the lock now
  // Of the stack that is up; nullopt when none is, or it does not serve yet.
  struct Served {
    int pid = 0;
    std::string endpoint;
    std::string page;  // address of its page; "" = not said
  };
  std::optional<Served> ReadServed() const;
};

// $EVILMOE_HOME, or ./runs; absolute.
std::filesystem::path RunsHome();
// Every run under `home` by age, oldest first; a folder that cannot be read as a run is left out.
std::vector<RunSummary> ListRuns(const std::filesystem::path& home);

// The run that a person means: its id, the only id that starts with `word` (any case), or the newest of that name.
// NotFound; InvalidArgument: several ids start so (they are named).
absl::StatusOr<RunSummary> PickRun(std::span<const RunSummary> runs, std::string_view word);

}  // namespace evilmoe
