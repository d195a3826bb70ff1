#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/coordinator/store.h"

namespace evilmoe {

// What the tests of the stores share.

// Everything but the epoch, a line a row, blobs by their hash: two contents are the same if their texts are.
std::string Describe(const StoreContents& contents);
std::string Describe(const std::vector<EventRecord>& events);

AdapterName TestAdapter(const std::string& run_id, int64_t step);
RunRecord TestRun(const std::string& run_id, int64_t created_ms = 0);
// A batch of groups 0 .. num_groups - 1 with 4 samples each.
PutBatch TestBatch(int64_t id, const std::string& run_id, const std::string& key, int64_t num_groups);
PutLease TestLease(int64_t batch_id, int64_t index, int64_t lease_id);
FinishGroup TestFinish(int64_t batch_id, int64_t place, int64_t index, const std::string& result);
PutEvent TestEvent(const std::string& run_id, int64_t seq, const std::string& key);

// A list of changes as a coordinator could make it, of all kinds and with its rarer turns: batches that take the place
// of others, leases of groups that are gone, events and adapters that are told twice. The text in it is wild.
std::vector<StoreChange> RandomChanges(uint64_t seed, int num_changes);

}  // namespace evilmoe
