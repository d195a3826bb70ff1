#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "services/page/run_source.h"

namespace evilmoe {

// Runs that a test holds. Thread-safe.
class FakeRunSource final : public RunSource {
 public:
  void Put(PageRun run) {
    MutexLock lock(mu_);
    const std::string id = run.summary.run_id;
    runs_[id] = std::move(run);
  }
  void Happen(const std::string& run_id, const std::string& kind, nlohmann::json payload) {
    MutexLock lock(mu_);
    const int64_t seq = ++runs_[run_id].summary.last_seq;
    events_[run_id].push_back({seq, 1000 + seq, kind, std::move(payload)});
    mu_.NotifyAll();
  }
  // Every call fails from now on.
  void Break(absl::Status status) {
    MutexLock lock(mu_);
    broken_ = std::move(status);
    mu_.NotifyAll();
  }

  absl::StatusOr<std::vector<RunSummary>> List() override {
    MutexLock lock(mu_);
    if (!broken_.ok()) return broken_;
    std::vector<RunSummary> list;
    for (const auto& [id, run] : runs_) list.push_back(run.summary);
    return list;
  }
  absl::StatusOr<PageRun> Get(const std::string& run_id) override {
    MutexLock lock(mu_);
    if (!broken_.ok()) return broken_;
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return absl::NotFoundError("run: there is none of this id");
    return it->second;
  }
  absl::StatusOr<PageEvents> Events(const std::string& run_id, int64_t after_seq, int limit,
                                    absl::Duration wait) override {
    MutexLock lock(mu_);
    mu_.AwaitFor(wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return !broken_.ok() || runs_[run_id].summary.last_seq > after_seq;
    });
    if (!broken_.ok()) return broken_;
    PageEvents page{.run = runs_[run_id].summary};
    for (const RunEventView& event : events_[run_id]) {
      if (event.seq > after_seq && page.events.size() < static_cast<size_t>(limit)) page.events.push_back(event);
    }
    return page;
  }
  absl::StatusOr<RunSummary> Act(const std::string& run_id, PageAction action) override {
    static const std::map<PageAction, std::string> kStates = {{PageAction::kCancel, "cancelled"},
                                                              {PageAction::kPause, "paused"},
                                                              {PageAction::kResume, "queued"},
                                                              {PageAction::kRetry, "queued"}};
    MutexLock lock(mu_);
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return absl::NotFoundError("run: there is none of this id");
    if (it->second.summary.state == "succeeded") return absl::FailedPreconditionError("run: it has succeeded");
    it->second.summary.state = kStates.at(action);
    return it->second.summary;
  }

 private:
  Mutex mu_;
  std::map<std::string, PageRun> runs_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<RunEventView>> events_ ABSL_GUARDED_BY(mu_);
  absl::Status broken_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
