#include "rollout_workers/group_in_flight.h"

#include <utility>

namespace evilmoe {

void GroupsInFlight::Begin(const v1::Lease& lease, const v1::AdapterVersion& adapter, absl::Time now) {
  Group group;
  group.spec = lease.group();
  group.missing = lease.group().num_samples();
  group.begun = now;
  group.result.set_index(lease.group().index());
  *group.result.mutable_adapter() = adapter;
  for (int i = 0; i < group.missing; ++i) group.result.add_samples();
  MutexLock lock(mu_);
  groups_[lease.lease_id()] = std::move(group);
}

std::optional<v1::GroupSpec> GroupsInFlight::Spec(int64_t lease_id) const {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  return it == groups_.end() ? std::nullopt : std::optional<v1::GroupSpec>(it->second.spec);
}

std::optional<GroupsInFlight::Finished> GroupsInFlight::Add(int64_t lease_id, int sample, v1::SampleResult result) {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  if (it == groups_.end()) return std::nullopt;
  *it->second.result.mutable_samples(sample) = std::move(result);
  if (--it->second.missing > 0) return std::nullopt;
  Finished finished{std::move(it->second.result), it->second.begun};
  groups_.erase(it);
  return finished;
}

bool GroupsInFlight::Drop(int64_t lease_id) {
  MutexLock lock(mu_);
  return groups_.erase(lease_id) > 0;
}

std::vector<int64_t> GroupsInFlight::LeaseIds() const {
  MutexLock lock(mu_);
  std::vector<int64_t> ids;
  for (const auto& [id, group] : groups_) ids.push_back(id);
  return ids;
}

}  // namespace evilmoe
