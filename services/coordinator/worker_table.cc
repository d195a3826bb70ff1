#include "services/coordinator/worker_table.h"

#include <algorithm>

#include "services/coordinator/coordinator_state.h"

namespace evilmoe {

void WorkerTable::Heartbeat(const std::string& worker_id, const std::string& host, absl::Time now) {
  Worker& worker = workers_[worker_id];
  worker.seen = now;
  worker.lost = false;
  worker.host = host;
}

void WorkerTable::Touch(const std::string& worker_id, absl::Time now) {
  const auto it = workers_.find(worker_id);
  if (it == workers_.end()) return;
  it->second.seen = now;
  it->second.lost = false;
}

void WorkerTable::Acknowledge(const std::string& worker_id, const AdapterName& adapter, absl::Time now) {
  Worker& worker = workers_[worker_id];
  worker.seen = now;
  worker.lost = false;
  std::erase_if(worker.held, [&](const AdapterName& held) {
    return held.run_id == adapter.run_id && held.sha256 == adapter.sha256;
  });
  worker.held.push_back(adapter);
  if (worker.held.size() > kMaxHeld) worker.held.pop_front();
}

bool WorkerTable::Holds(const std::string& worker_id, const std::string& run_id, const std::string& sha256) const {
  const auto it = workers_.find(worker_id);
  return it != workers_.end() && std::ranges::any_of(it->second.held, [&](const AdapterName& held) {
           return held.sha256 == sha256 && held.run_id == run_id;
         });
}

void WorkerTable::SetLastRun(const std::string& worker_id, const std::string& run_id) {
  if (const auto it = workers_.find(worker_id); it != workers_.end()) it->second.last_run = run_id;
}

const std::string& WorkerTable::LastRun(const std::string& worker_id) const {
  static const std::string kNone;
  const auto it = workers_.find(worker_id);
  return it == workers_.end() ? kNone : it->second.last_run;
}

void WorkerTable::SetUnfit(const std::string& worker_id, const std::string& run_id) {
  if (const auto it = workers_.find(worker_id); it != workers_.end()) it->second.unfit.insert(run_id);
}

bool WorkerTable::IsUnfit(const std::string& worker_id, const std::string& run_id) const {
  const auto it = workers_.find(worker_id);
  return it != workers_.end() && it->second.unfit.contains(run_id);
}

bool WorkerTable::NoteLost(const std::string& worker_id, absl::Time time) {
  const auto it = workers_.find(worker_id);
  if (it == workers_.end() || it->second.lost || it->second.seen >= time) return false;
  return it->second.lost = true;
}

int WorkerTable::NumSeenSince(absl::Time time) const {
  return static_cast<int>(
      std::ranges::count_if(workers_, [&](const auto& worker) { return worker.second.seen >= time; }));
}

std::vector<WorkerView> WorkerTable::SeenSince(absl::Time time) const {
  std::vector<WorkerView> views;
  for (const auto& [id, worker] : workers_) {
    if (worker.seen < time) continue;
    views.push_back({.worker_id = id,
                     .kind = "rollout",
                     .host = worker.host,
                     .run_id = worker.last_run,
                     .seen_unix_ms = absl::ToUnixMillis(worker.seen)});
    if (!worker.held.empty()) views.back().adapter = worker.held.back();
  }
  return views;
}

void WorkerTable::ForgetBefore(absl::Time time) {
  std::erase_if(workers_, [&](const auto& worker) { return worker.second.seen < time; });
}

}  // namespace evilmoe
