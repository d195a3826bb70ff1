#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// What a person sees of a run. run.json of a run directory holds one; the stack keeps it current, so that `list` and
// `get` need no service.
struct RunSummary {
  std::string run_id;
  std::string name;
  std::string arm;
  std::string state;  // queued | running | succeeded | failed | cancelled | interrupted (its stack is gone)
  std::string error;
  int64_t steps_total = 0;
  int64_t steps_done = 0;
  int64_t created_unix_ms = 0;
  int64_t finished_unix_ms = 0;  // 0 = not yet
  int64_t last_seq = 0;          // of the events that this summary includes
  std::string directory;
};

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

  // Makes the folder and those inside it. AlreadyExists when `path` is there.
  absl::Status Create() const;
  // NotFound; DataLoss: run.json cannot be read as one. A run that should go on and has no stack is `interrupted`.
  absl::StatusOr<RunSummary> ReadSummary() const;
  absl::Status WriteSummary(const RunSummary& run) const;
  // Whether a stack holds the lock now.
  bool HasStack() const;
};

// $EVILMOE_HOME, or ./runs; absolute.
std::filesystem::path RunsHome();
// Every run under `home` by age, oldest first; a folder that cannot be read as a run is left out.
std::vector<RunSummary> ListRuns(const std::filesystem::path& home);

// The run that a person means: its id, the only id that starts with `word` (any case), or the newest of that name.
// NotFound; InvalidArgument: several ids start so (they are named).
absl::StatusOr<RunSummary> PickRun(std::span<const RunSummary> runs, std::string_view word);

}  // namespace evilmoe
