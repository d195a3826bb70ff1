#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "evilmoe/v1/coordinator.pb.h"

namespace evilmoe {

// The groups that this worker holds leases for: sampled by one thread, graded by several, finished by whoever grades
// the last sample, and held until they are handed in. Thread-safe.
class GroupsInFlight {
 public:
  // A lease begins; `adapter` is what its samples will be drawn with.
  void Begin(const v1::Lease& lease, const v1::AdapterVersion& adapter, absl::Time now);
  // What a grade needs; nullopt when the lease is gone.
  std::optional<v1::GroupSpec> Spec(int64_t lease_id) const;
  // A sample of the lease ended; a grade of one begins. For the times that the result carries.
  void NoteSampled(int64_t lease_id, absl::Time now);
  void NoteGrading(int64_t lease_id, absl::Time now);
  // A sample's text, tokens and facts arrive. Returns the whole group when it was the last; its lease is held on.
  struct Finished {
    v1::GroupResult result;
    absl::Time begun;
  };
  std::optional<Finished> Add(int64_t lease_id, int sample, v1::SampleResult result);
  // Forgets a lease; false when it was gone already.
  bool Drop(int64_t lease_id);
  // The same, save that a finished group stays: the answer to its handing in tells more than a heartbeat's.
  bool DropUnfinished(int64_t lease_id);

  bool Holds(int64_t lease_id) const;
  std::vector<int64_t> LeaseIds() const;  // finished ones too
  std::vector<int64_t> UnfinishedLeaseIds() const;
  std::vector<v1::AdapterVersion> Adapters() const;  // of the groups, each once

 private:
  struct Group {
    v1::GroupSpec spec;
    v1::AdapterVersion adapter;
    v1::GroupResult result;
    int missing = 0;  // samples; 0: finished
    absl::Time begun;
  };
  std::vector<int64_t> Ids(bool finished_too) const;

  mutable Mutex mu_;
  std::map<int64_t, Group> groups_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
