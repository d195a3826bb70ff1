#include "services/coordinator/worker_table.h"

#include <algorithm>

namespace evilmoe {

void WorkerTable::Heartbeat(const std::string& worker_id, absl::Time now) { workers_[worker_id].seen = now; }

void WorkerTable::Touch(const std::string& worker_id, absl::Time now) {
  if (const auto it = workers_.find(worker_id); it != workers_.end()) it->second.seen = now;
}

void WorkerTable::Acknowledge(const std::string& worker_id, const std::string& run_id, const std::string& sha256,
                              absl::Time now) {
  Worker& worker = workers_[worker_id];
  worker.seen = now;
  const std::pair name(run_id, sha256);
  std::erase(worker.held, name);
  worker.held.push_back(name);
  if (worker.held.size() > kMaxHeld) worker.held.pop_front();
}

bool WorkerTable::Holds(const std::string& worker_id, const std::string& run_id, const std::string& sha256) const {
  const auto it = workers_.find(worker_id);
  if (it == workers_.end()) return false;
  return std::ranges::find(it->second.held, std::pair(run_id, sha256)) != it->second.held.end();
}

int WorkerTable::NumHolding(const std::string& run_id, const std::string& sha256) const {
  return static_cast<int>(std::ranges::count_if(
      workers_, [&](const auto& worker) { return Holds(worker.first, run_id, sha256); }));
}

int WorkerTable::NumSeenSince(absl::Time time) const {
  return static_cast<int>(
      std::ranges::count_if(workers_, [&](const auto& worker) { return worker.second.seen >= time; }));
}

void WorkerTable::ForgetBefore(absl::Time time) {
  std::erase_if(workers_, [&](const auto& worker) { return worker.second.seen < time; });
}

}  // namespace evilmoe
