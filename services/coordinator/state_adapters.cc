#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_state.h"

namespace evilmoe {

absl::StatusOr<RunRecord> CoordinatorState::CheckFence(const JobFenceKey& fence) const {
  EVILMOE_RETURN_IF_ERROR(Fenced(fence).status());
  return runs_.at(fence.run_id).record;
}

absl::Status CoordinatorState::PublishAdapter(const JobFenceKey& fence, const AdapterName& adapter, absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(Fenced(fence, now).status());
  Run& run = runs_.at(fence.run_id);
  const auto same = [&](const AdapterName& known) {
    return known.sha256 == adapter.sha256 && known.step == adapter.step;
  };
  std::erase_if(run.adapters, same);  // what a resumed run publishes again is its newest
  run.adapters.push_back(adapter);
  run.record.adapter = adapter;
  changes_.push_back(PutAdapter{adapter});
  changed_.runs.insert(fence.run_id);
  changed_.leases = true;  // groups that had to wait for a newer one may start
  return absl::OkStatus();
}

absl::StatusOr<AdapterName> CoordinatorState::FindAdapter(const AdapterName& adapter) const {
  const auto run = runs_.find(adapter.run_id);
  if (run != runs_.end()) {
    const std::vector<AdapterName>& known = run->second.adapters;
    const auto found = std::ranges::find(known.rbegin(), known.rend(), adapter.sha256, &AdapterName::sha256);
    if (found != known.rend()) return *found;
    if (run->second.record.adapter.sha256 == adapter.sha256) return run->second.record.adapter;
  }
  return absl::NotFoundError(absl::StrCat("adapter ", adapter.sha256, ": run ", adapter.run_id, " published no such"));
}

absl::Status CoordinatorState::AcknowledgeAdapter(const std::string& worker_id, const AdapterName& adapter,
                                                  absl::Time now) {
  const absl::StatusOr<AdapterName> known = FindAdapter(adapter);
  if (!known.ok()) {
    // Of a run that is over: what a worker says that was away meanwhile.
    (runs_.contains(adapter.run_id) ? metrics_->refused_foreign : metrics_->refused_late).Increment();
    return absl::FailedPreconditionError(absl::StrCat("adapter ", adapter.sha256, ": foreign, run ", adapter.run_id,
                                                      " published no adapter of that hash"));
  }
  const Run& run = runs_.at(adapter.run_id);
  const bool newest = run.record.adapter.sha256 == adapter.sha256;
  const bool in_use = newest || std::ranges::any_of(run.batches, [&](const auto& entry) {
                        const Batch& batch = batches_.at(entry.second);
                        if (!batch.record.bind_at_lease) return batch.record.adapter.sha256 == adapter.sha256;
                        return batch.record.step - known->step <= batch.record.max_policy_lag;
                      });
  if (!in_use) {
    metrics_->refused_late.Increment();
    return absl::FailedPreconditionError(absl::StrCat("adapter ", adapter.sha256, ": stale, no open batch of run ",
                                                      adapter.run_id, " uses it and the newest is ",
                                                      run.record.adapter.sha256));
  }
  EVILMOE_RETURN_IF_ERROR(CheckRegistration(worker_id));
  workers_.Acknowledge(worker_id, *known, now);
  return absl::OkStatus();
}

}  // namespace evilmoe
