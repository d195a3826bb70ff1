#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace evilmoe {

// What the coordinator's core and its store speak of. Messages of the wire stay outside: what the coordinator only
// carries (a group's task, its result, a batch's sampling settings) is a string of bytes here.

// Stored as numbers: never renumber.
enum class RunPhase { kQueued = 1, kRunning = 2, kSucceeded = 3, kFailed = 4, kCancelled = 5 };
const char* RunPhaseName(RunPhase phase);  // "queued", ...
enum class JobType { kTrain = 1, kAblate = 2 };

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
  std::string directory;         // absolute
  AdapterName adapter;           // newest published; an empty sha256 before the first
};

struct JobRecord {
  int64_t order = 0;  // of submission
  std::string job_id;
  std::string run_id;
  JobType type = JobType::kTrain;
  std::string params_json;
  RunPhase phase = RunPhase::kQueued;
  std::string trainer_id;   // that holds it
  int64_t incarnation = 0;  // of its trainer; 0 = never acquired
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
};

// A group as the store finds it by its lease.
struct LeasedGroup {
  int64_t batch_id = 0;
  GroupTask task;
  std::string worker_id;
  int64_t num_losses = 0;  // how often its lease was lost so far
};

struct FinishedGroup {
  int64_t index = 0;
  int num_samples = 0;
  std::string lost_reason;  // set: the infrastructure lost the group and there is no result
  std::string result;       // opaque
};

struct LeaseRow {
  int64_t lease_id = 0;
  std::string worker_id;
  int64_t batch_id = 0;
  int64_t index = 0;
  int64_t num_losses = 0;
};

}  // namespace evilmoe
