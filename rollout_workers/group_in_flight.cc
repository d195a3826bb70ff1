#include "rollout_workers/group_in_flight.h"

#include <utility>

namespace evilmoe {

void GroupsInFlight::Begin(const v1::Lease& lease, const v1::AdapterVersion& adapter, absl::Time now) {
  Group group;
  group.spec = lease.group();
  group.missing = lease.group().num_samples();
  group.begun = now;
  group.adapter = adapter;
  group.result.set_index(lease.group().index());
  *group.result.mutable_adapter() = adapter;
  group.result.mutable_times()->set_leased_unix_us(absl::ToUnixMicros(now));
  for (int i = 0; i < group.missing; ++i) group.result.add_samples();
  MutexLock lock(mu_);
  groups_[lease.lease_id()] = std::move(group);
}

std::optional<v1::GroupSpec> GroupsInFlight::Spec(int64_t lease_id) const {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  return it == groups_.end() ? std::nullopt : std::optional<v1::GroupSpec>(it->second.spec);
}

void GroupsInFlight::NoteSampled(int64_t lease_id, absl::Time now) {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  if (it != groups_.end()) it->second.result.mutable_times()->set_sampled_unix_us(absl::ToUnixMicros(now));
}

void GroupsInFlight::NoteGrading(int64_t lease_id, absl::Time now) {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  if (it == groups_.end() || it->second.result.times().grading_unix_us() != 0) return;
  it->second.result.mutable_times()->set_grading_unix_us(absl::ToUnixMicros(now));
}

std::optional<GroupsInFlight::Finished> GroupsInFlight::Add(int64_t lease_id, int sample, v1::SampleResult result) {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  if (it == groups_.end()) return std::nullopt;
  *it->second.result.mutable_samples(sample) = std::move(result);
  if (--it->second.missing > 0) return std::nullopt;
  return Finished{std::move(it->second.result), it->second.begun};
}

bool GroupsInFlight::Drop(int64_t lease_id) {
  MutexLock lock(mu_);
  return groups_.erase(lease_id) > 0;
}

bool GroupsInFlight::DropUnfinished(int64_t lease_id) {
  MutexLock lock(mu_);
  const auto it = groups_.find(lease_id);
  if (it == groups_.end() || it->second.missing == 0) return false;
  groups_.erase(it);
  return true;
}

bool GroupsInFlight::Holds(int64_t lease_id) const {
  MutexLock lock(mu_);
  return groups_.contains(lease_id);
}

std::vector<int64_t> GroupsInFlight::Ids(bool finished_too) const {
  MutexLock lock(mu_);
  std::vector<int64_t> ids;
  for (const auto& [id, group] : groups_) {
    if (finished_too || group.missing > 0) ids.push_back(id);
  }
  return ids;
}

std::vector<int64_t> GroupsInFlight::LeaseIds() const { return Ids(/*finished_too=*/true); }
std::vector<int64_t> GroupsInFlight::UnfinishedLeaseIds() const { return Ids(/*finished_too=*/false); }

std::vector<v1::AdapterVersion> GroupsInFlight::Adapters() const {
  MutexLock lock(mu_);
  std::map<std::string, v1::AdapterVersion> by_name;
  for (const auto& [id, group] : groups_)
    by_name[group.adapter.run_id() + "/" + group.adapter.sha256()] = group.adapter;
  std::vector<v1::AdapterVersion> adapters;
  for (auto& [name, adapter] : by_name) adapters.push_back(std::move(adapter));
  return adapters;
}

}  // namespace evilmoe
