#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace evilmoe {

// What the coordinator's core and its store speak of. Messages of the wire stay outside: what the coordinator only
// carries (a group's task, its result, a batch's sampling settings) is a string of bytes here.

// Stored as numbers: never renumber.
enum class RunPhase {
  kQueued = 1,
  kRunning = 2,
  kSucceeded = 3,
  kFailed = 4,
  kCancelled = 5,
  kPausing = 6,  // of a job: its trainer was asked to leave; of a run: so is its job
  kPaused = 7,
};
const char* RunPhaseName(RunPhase phase);  // "queued", ...
enum class JobType { kTrain = 1, kAblate = 2 };

// Of a job, and of a run, whose phase is that of its last job.
inline bool HasEnded(RunPhase phase) {
  return phase == RunPhase::kSucceeded || phase == RunPhase::kFailed || phase == RunPhase::kCancelled;
}
// A trainer holds the job.
inline bool IsHeld(RunPhase phase) { return phase == RunPhase::kRunning || phase == RunPhase::kPausing; }

// An adapter is named by its bytes: (run_id, sha256). `step` says when it was published.
struct AdapterName {
  std::string run_id;
  int64_t step = 0;
  std::string sha256;  // 64 lower-case hex digits
  int64_t size_bytes = 0;
};

struct RunRecord {
  std::string run_id;
  std::string name;
  std::string arm;
  RunPhase phase = RunPhase::kQueued;
  std::string config_yaml;
  std::string config_sha256;
  int64_t steps_total = 0;
  int64_t steps_done = 0;
  std::string error;
  int64_t created_unix_ms = 0;
  int64_t finished_unix_ms = 0;  // 0 = not yet
  std::string directory;  // absolute
  int priority = 0;       // higher first
  int slots = 1;          // of its trainer
  std::string sweep;
  std::string model_fingerprint;  // of the base model's weights; empty before a trainer said it
  AdapterName adapter;            // newest published; an empty sha256 before the first
  int64_t last_seq = 0;           // of its events
};

struct JobRecord {
  int64_t order = 0;  // of submission
  std::string job_id;
  std::string run_id;
  JobType type = JobType::kTrain;
  std::string params_json;
  RunPhase phase = RunPhase::kQueued;
  std::string trainer_id;    // that holds or held it
  std::string trainer_name;  // the same over the lives of a trainer
  int64_t incarnation = 0;   // of its trainer; 0 = never acquired
  int num_lost_trainers = 0;  // in a row, without a new step between them
};

struct JobFenceKey {
  std::string run_id;
  std::string job_id;
  int64_t incarnation = 0;
};

struct EventRecord {
  int64_t seq = 0;  // from 1, without holes, within the run
  int64_t unix_ms = 0;
  std::string kind;
  std::string payload_json;
};

struct GroupTask {
  int64_t index = 0;  // unique within the batch, >= 0
  int num_samples = 0;
  std::string spec;  // opaque
};

struct BatchRecord {
  int64_t id = 0;  // of the store; grows with every batch
  std::string run_id;
  std::string key;
  int64_t step = 0;
  AdapterName adapter;
  std::string sampling;     // opaque
  std::string fingerprint;  // of everything that the trainer asked for
  // Set: `adapter` is none; each group takes the newest of the time it is leased at, if that is at most max_policy_lag
  // steps older than `step`.
  bool bind_at_lease = false;
  int64_t max_policy_lag = 0;
};

struct FinishedGroup {
  int64_t index = 0;
  int num_samples = 0;
  std::string lost_reason;                    // set: the infrastructure lost the group and there is no result
  std::shared_ptr<const std::string> result;  // opaque; null where it was lost
};

}  // namespace evilmoe
