#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/ctl/coordinator_link.h"

namespace evilmoe {

// What a fake coordinator holds; tests look into it and change it. Not thread-safe.
struct FakeCoordinator {
  std::vector<RunSummary> runs;
  std::map<std::string, std::string> configs;                           // by run
  std::map<std::string, std::vector<RunEventView>> events;              // by run
  std::map<std::string, std::map<std::string, std::string>> run_files;  // by run and path
  int64_t files_modified_unix_ns = 0;                                   // of all of them
  std::vector<std::string> calls;                                       // "PauseRun R", in order
  CoordinatorInfo info;
  absl::Status down;                        // not OK: every call fails so
  std::function<void(FakeCoordinator&)> tick;  // before every look at runs or events: lets time pass

  int lost_looks = 0;  // so many of the next looks fail as Unavailable

  absl::Status Look() {
    if (!down.ok()) return down;
    if (lost_looks > 0) {
      --lost_looks;
      return absl::UnavailableError("coordinator fake: lost");
    }
    if (tick) tick(*this);
    return absl::OkStatus();
  }
  RunSummary* Find(const std::string& run_id) {
    const auto it = std::find_if(runs.begin(), runs.end(), [&](const RunSummary& run) { return run.run_id == run_id; });
    return it == runs.end() ? nullptr : &*it;
  }
  void AddEvent(const std::string& run_id, const std::string& kind, nlohmann::json payload) {
    std::vector<RunEventView>& list = events[run_id];
    list.push_back({static_cast<int64_t>(list.size()) + 1, 1000, kind, std::move(payload)});
  }
};

// A link to it, with the states that coordinator.proto describes.
class FakeCoordinatorLink final : public CoordinatorLink {
 public:
  // `coordinator` must outlive it.
  explicit FakeCoordinatorLink(FakeCoordinator& coordinator) : c_(coordinator) {}

  absl::StatusOr<RunSummary> SubmitRun(const RunSummary& run, const std::string& config_yaml) override {
    if (!c_.down.ok()) return c_.down;
    c_.calls.push_back(absl::StrCat("SubmitRun ", run.name));
    if (const RunSummary* known = c_.Find(run.run_id)) return *known;
    RunSummary queued = run;
    queued.state = "queued";
    if (queued.directory.empty()) queued.directory = absl::StrCat("/elsewhere/", run.run_id);
    c_.runs.push_back(queued);
    c_.configs[run.run_id] = config_yaml;
    c_.run_files[run.run_id]["config.yaml"] = config_yaml;
    return queued;
  }
  absl::Status SubmitAblation(const std::string& run_id, const std::string&, const std::string& params) override {
    return Change(run_id, absl::StrCat("SubmitAblation ", params), "succeeded failed", "queued").status();
  }
  absl::StatusOr<RunSummary> GetRun(const std::string& run_id) override {
    if (const absl::Status look = c_.Look(); !look.ok()) return look;
    const RunSummary* run = c_.Find(run_id);
    if (run == nullptr) return absl::NotFoundError(absl::StrCat("run ", run_id, ": not found"));
    return *run;
  }
  absl::StatusOr<std::vector<RunSummary>> ListRuns(const std::string& sweep) override {
    if (const absl::Status look = c_.Look(); !look.ok()) return look;
    std::vector<RunSummary> some;
    for (const RunSummary& run : c_.runs) {
      if (sweep.empty() || run.sweep == sweep) some.push_back(run);
    }
    return some;
  }
  absl::StatusOr<RunSummary> CancelRun(const std::string& run_id) override {
    return Change(run_id, "CancelRun", "queued running pausing paused succeeded failed cancelled", "cancelled");
  }
  absl::StatusOr<RunSummary> PauseRun(const std::string& run_id) override {
    const RunSummary* run = c_.Find(run_id);
    const bool waits = run != nullptr && run->state == "queued";
    return Change(run_id, "PauseRun", "queued running pausing paused", waits ? "paused" : "pausing");
  }
  absl::StatusOr<RunSummary> ResumeRun(const std::string& run_id) override {
    return Change(run_id, "ResumeRun", "queued running pausing paused", "queued");
  }
  absl::StatusOr<RunSummary> RetryRun(const std::string& run_id) override {
    return Change(run_id, "RetryRun", "failed cancelled", "queued");
  }
  absl::StatusOr<FeedPage> ListEvents(const std::string& run_id, int64_t after_seq) override {
    if (const absl::Status look = c_.Look(); !look.ok()) return look;
    const RunSummary* run = c_.Find(run_id);
    if (run == nullptr) return absl::NotFoundError(absl::StrCat("run ", run_id, ": not found"));
    FeedPage page;
    page.run = *run;
    page.run.last_seq = after_seq;
    for (const RunEventView& event : c_.events[run_id]) {
      if (event.seq <= after_seq) continue;
      page.events.push_back(event);
      page.run.last_seq = event.seq;
    }
    return page;
  }
  absl::Status FailRun(const std::string& run_id, const std::string& trainer, const std::string& error) override {
    const absl::Status done =
        Change(run_id, absl::StrCat("FailRun by ", trainer), "queued running pausing paused", "failed").status();
    if (done.ok()) c_.Find(run_id)->error = error;
    return done;
  }
  absl::StatusOr<CoordinatorInfo> GetStatus() override {
    if (!c_.down.ok()) return c_.down;
    return c_.info;
  }
  absl::StatusOr<std::vector<RunFileEntry>> ListRunFiles(const std::string& run_id,
                                                         const std::string& folder) override {
    if (!c_.down.ok()) return c_.down;
    std::vector<RunFileEntry> entries;
    for (const auto& [path, bytes] : c_.run_files[run_id]) {
      if (folder.empty() || absl::StartsWith(path, folder + "/")) {
        entries.push_back({path, static_cast<int64_t>(bytes.size()), c_.files_modified_unix_ns});
      }
    }
    return entries;
  }
  absl::StatusOr<int64_t> ReadRunFile(const std::string& run_id, const std::string& path, int64_t offset,
                                      const RunFiles::Sink& sink) override {
    if (!c_.down.ok()) return c_.down;
    const auto it = c_.run_files[run_id].find(path);
    if (it == c_.run_files[run_id].end()) return absl::NotFoundError(absl::StrCat(path, ": not found"));
    const std::string rest = it->second.substr(static_cast<size_t>(offset));
    // In two pieces, as a stream would come.
    for (const std::string& piece : {rest.substr(0, rest.size() / 2), rest.substr(rest.size() / 2)}) {
      if (const absl::Status taken = sink(piece); !taken.ok()) return taken;
    }
    return static_cast<int64_t>(it->second.size());
  }

 private:
  absl::StatusOr<RunSummary> Change(const std::string& run_id, const std::string& call, const std::string& from,
                                    const std::string& to) {
    if (!c_.down.ok()) return c_.down;
    c_.calls.push_back(absl::StrCat(call, " ", run_id));
    RunSummary* run = c_.Find(run_id);
    if (run == nullptr) return absl::NotFoundError(absl::StrCat("run ", run_id, ": not found"));
    if (!absl::StrContains(absl::StrCat(" ", from, " "), absl::StrCat(" ", run->state, " "))) {
      return absl::FailedPreconditionError(absl::StrCat("run ", run_id, " is ", run->state));
    }
    run->state = to;
    AddState(*run);
    return *run;
  }
  void AddState(const RunSummary& run) { c_.AddEvent(run.run_id, "state", {{"state", run.state}, {"error", ""}}); }

  FakeCoordinator& c_;
};

}  // namespace evilmoe
