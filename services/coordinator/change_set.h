#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "services/coordinator/store_change.h"

namespace evilmoe {

// What a list of changes comes to, by kind and each row once, for a store that writes many rows with one statement: a
// lease that was granted and ended within the list leaves nothing but its end. Doing the kinds in the order of the
// members is the same as doing the changes in theirs. The pointers point into the list.
struct ChangeSet {
  using GroupKey = std::pair<int64_t, int64_t>;  // batch, index

  std::vector<const RunRecord*> runs;
  std::vector<const JobRecord*> jobs;
  std::vector<const AdapterName*> adapters;  // each where it stood last
  std::vector<const PutEvent*> events;       // all of them, in order: the first one counts
  // Batches that go with all that is under them, by id and by (run_id, key).
  std::vector<int64_t> dropped_ids;
  std::vector<const BatchRecord*> dropped_keys;
  int64_t last_batch_id = 0;  // the highest of a PutBatch
  std::vector<const PutBatch*> batches;
  std::vector<const RequeueGroup*> requeued;
  std::vector<GroupKey> ended_leases;
  std::vector<const PutLease*> leases;
  std::vector<const FinishGroup*> finished;
};

ChangeSet MakeChangeSet(std::span<const StoreChange> changes);

}  // namespace evilmoe
