#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "services/coordinator/coordinator_types.h"

namespace evilmoe {

// What the coordinator's state asks its store to keep: one row or a few. Each says how things are from then on, so
// that applying a list of them again, whole and in order, changes nothing. For the same reason a change of a group that
// is not there does nothing: its batch was dropped further down a list that is applied again.
//
// Text is UTF-8, blobs are any bytes; either may hold NULs.

// Inserts or replaces the run; its adapter and last_seq follow from the changes below.
struct PutRun {
  RunRecord run;
};
struct PutJob {
  JobRecord job;
};
// Makes the adapter the run's newest. The same (run_id, sha256, step) is kept once.
struct PutAdapter {
  AdapterName adapter;
};
// (run, seq) and (run, key) are taken once.
struct PutEvent {
  std::string run_id;
  std::string key;
  EventRecord event;
};
// In place of the batch of that id, and of that (run_id, key), and of everything under them.
struct PutBatch {
  BatchRecord batch;
  std::shared_ptr<const std::vector<GroupTask>> groups;
};
// With its groups, leases and results.
struct DropBatch {
  int64_t batch_id = 0;
};
struct PutLease {
  int64_t batch_id = 0;
  int64_t index = 0;
  int64_t lease_id = 0;
  std::string worker_id;
  AdapterName adapter;  // that its samples are to be drawn with; of the batch's run
};
// The lease is over, the group waits again.
struct RequeueGroup {
  int64_t batch_id = 0;
  int64_t index = 0;
  int64_t num_losses = 0;
};
// The lease is over, the group is the batch's place-th that finished, from 0.
struct FinishGroup {
  int64_t batch_id = 0;
  int64_t place = 0;
  FinishedGroup group;
};

using StoreChange =
    std::variant<PutRun, PutJob, PutAdapter, PutEvent, PutBatch, DropBatch, PutLease, RequeueGroup, FinishGroup>;

}  // namespace evilmoe
