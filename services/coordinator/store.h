#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/coordinator/coordinator_types.h"
#include "services/coordinator/store_change.h"

namespace evilmoe {

struct StoredGroup {
  GroupTask task;
  int64_t num_losses = 0;
  std::optional<PutLease> lease;
  std::optional<FinishGroup> finished;
};
struct StoredBatch {
  BatchRecord batch;
  std::vector<StoredGroup> groups;  // by index
};

// All that a coordinator begins with. Events themselves stay in the store.
struct StoreContents {
  int64_t epoch = 0;            // number of this life of a coordinator over this store, from 1
  std::vector<RunRecord> runs;  // oldest first; adapter and last_seq filled in
  std::vector<JobRecord> jobs;  // by order
  std::vector<StoredBatch> batches;  // by id
  int64_t last_batch_id = 0;         // that was ever given
  std::vector<AdapterName> adapters;  // of runs whose last job has not ended; oldest first
  std::map<std::string, std::vector<std::string>> event_keys;  // by run: one that has ended may be taken up again
};

// What the coordinator must not forget. It keeps rows and decides nothing. One coordinator writes a store at a time: an
// implementation refuses a second one, and a writer that lost its place learns so from Apply().
//
// Load() and Apply() are called by one thread at a time; the Read methods by any, beside them.
class Store {
 public:
  virtual ~Store() = default;

  // Begins a new epoch and reads everything. DataLoss: the rows make no sense.
  virtual absl::StatusOr<StoreContents> Load() = 0;
  // Makes the changes, in order, in one transaction; on OK they are on the disk. Otherwise all or none of them are, and
  // the same changes may be applied again. Unavailable, ResourceExhausted (full disk): again may help.
  // FailedPrecondition: another coordinator has the store. DataLoss, Internal: nothing helps.
  virtual absl::Status Apply(std::span<const StoreChange> changes) = 0;
  // Events of a run after `after_seq`, oldest first, at most `limit`: those whose Apply() has returned. Unavailable.
  virtual absl::StatusOr<std::vector<EventRecord>> ReadEvents(const std::string& run_id, int64_t after_seq,
                                                              int limit) = 0;
  // Kind and durability for people: "sqlite (WAL, synchronous=FULL)".
  virtual std::string Description() const = 0;
};

}  // namespace evilmoe
