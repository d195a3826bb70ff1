#include "services/page/core_run_source.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "services/coordinator/run_summary.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);  // beyond what a call may wait by itself: the store's turn

// Where an answer arrives. Shared with the core, which may answer when nobody waits any more.
template <typename T>
class Mailbox {
 public:
  void Put(absl::StatusOr<T> answer) {
    MutexLock lock(mu_);
    answer_ = std::move(answer);
    mu_.NotifyAll();
  }
  absl::StatusOr<T> Take(absl::Duration wait) {
    MutexLock lock(mu_);
    mu_.AwaitFor(wait, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return answer_.has_value(); });
    if (answer_) return *std::move(answer_);
    return absl::DeadlineExceededError(
        absl::StrCat("coordinator: no answer within ", absl::FormatDuration(wait), "; try again"));
  }

 private:
  Mutex mu_;
  std::optional<absl::StatusOr<T>> answer_ ABSL_GUARDED_BY(mu_);
};

template <typename T, typename Call>
absl::StatusOr<T> Await(absl::Duration wait, Call call) {
  const auto mailbox = std::make_shared<Mailbox<T>>();
  call([mailbox](absl::StatusOr<T> answer) { mailbox->Put(std::move(answer)); });
  return mailbox->Take(wait);
}

}  // namespace

absl::StatusOr<std::vector<RunSummary>> CoreRunSource::List() {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunRecord> runs,
                           Await<std::vector<RunRecord>>(kPatience, [&](Reply<std::vector<RunRecord>> reply) {
                             core_.ListRuns("", std::move(reply));
                           }));
  std::vector<RunSummary> list;
  list.reserve(runs.size());
  for (const RunRecord& run : runs) list.push_back(SummaryOf(run));
  return list;
}

absl::StatusOr<PageRun> CoreRunSource::Get(const std::string& run_id) {
  EVILMOE_ASSIGN_OR_RETURN(RunRecord run, Await<RunRecord>(kPatience, [&](Reply<RunRecord> reply) {
                             core_.GetRun(run_id, std::move(reply));
                           }));
  return PageRun{SummaryOf(run), std::move(run.config_yaml)};
}

absl::StatusOr<PageEvents> CoreRunSource::Events(const std::string& run_id, int64_t after_seq, int limit,
                                                 absl::Duration wait) {
  using Page = CoordinatorCore::EventPage;
  EVILMOE_ASSIGN_OR_RETURN(Page page, Await<Page>(wait + kPatience, [&](Reply<Page> reply) {
                             core_.ListEvents(run_id, after_seq, limit, {.wait = wait}, std::move(reply));
                           }));
  PageEvents events{.run = SummaryOf(page.run)};
  for (EventRecord& event : page.events) {
    nlohmann::json payload = ParseBoundedJson(event.payload_json);
    if (payload.is_discarded()) payload = nullptr;
    events.events.push_back({event.seq, event.unix_ms, std::move(event.kind), std::move(payload)});
  }
  return events;
}

absl::StatusOr<RunSummary> CoreRunSource::Act(const std::string& run_id, PageAction action) {
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, Await<RunRecord>(kPatience, [&](Reply<RunRecord> reply) {
                             switch (action) {
                               case PageAction::kCancel: return core_.CancelRun(run_id, std::move(reply));
                               case PageAction::kPause: return core_.PauseRun(run_id, std::move(reply));
                               case PageAction::kResume: return core_.ResumeRun(run_id, std::move(reply));
                               case PageAction::kRetry: return core_.RetryRun(run_id, std::move(reply));
                             }
                           }));
  return SummaryOf(run);
}

}  // namespace evilmoe
