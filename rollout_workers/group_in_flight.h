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

// The groups that this worker holds leases for: sampled by one thread, graded by several, handed in by whoever grades
// the last sample. Thread-safe.
class GroupsInFlight {
 public:
  // A lease begins; `adapter` is what its samples will be drawn with.
  void Begin(const v1::Lease& lease, const v1::AdapterVersion& adapter, absl::Time now);
  // What a grade needs; nullopt when the lease is gone.
  std::optional<v1::GroupSpec> Spec(int64_t lease_id) const;
  // A sample's text, tokens and facts arrive. Returns the whole group, and forgets it, when it was the last.
  struct Finished {
    v1::GroupResult result;
    absl::Time begun;
  };
  std::optional<Finished> Add(int64_t lease_id, int sample, v1::SampleResult result);
  // Forgets a lease; false when it was gone already.
  bool Drop(int64_t lease_id);

  std::vector<int64_t> LeaseIds() const;

 private:
  struct Group {
    v1::GroupSpec spec;
    v1::GroupResult result;
    int missing = 0;
    absl::Time begun;
  };
  mutable Mutex mu_;
  std::map<int64_t, Group> groups_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
