#include "dataset/canonical_filter.h"

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/problem_key.h"

namespace evilmoe {
namespace {

// The grader lets a canonical solution have a minute of CPU time, and may try again.
constexpr absl::Duration kProblemTimeout = absl::Minutes(10);
constexpr int kAttempts = 3;
// Grading refuses a problem whose tests cannot be run by the same code as one whose solution fails them; this is in the
// text of the latter.
constexpr std::string_view kGotAVerdict = "its canonical solution gets ";

// An answer without code is not run, but the problem that it is for is tried first.
absl::StatusOr<CanonicalVerdict> Ask(const Problem& problem, Grader& grader, const Clock& clock) {
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    status = grader.Grade({.problem = problem, .response = ""}, clock.Now() + kProblemTimeout).status();
    if (!absl::IsUnavailable(status)) break;
  }
  std::string detail(status.message());
  const std::string prefix = absl::StrCat("problem ", problem.id, ": ");  // another problem may have the same verdict
  if (detail.starts_with(prefix)) detail.erase(0, prefix.size());
  if (status.ok()) return CanonicalVerdict{};
  if (absl::IsFailedPrecondition(status) && detail.find(kGotAVerdict) != std::string::npos) {
    return CanonicalVerdict{DropReason::kCanonical, detail};
  }
  if (absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status)) {
    return CanonicalVerdict{DropReason::kTests, detail};
  }
  return Annotate(status, absl::StrCat("problem ", problem.id, ": the sandbox gave no verdict"));
}

class Judging {
 public:
  Judging(std::span<const Problem> problems, Grader& grader, VerdictStore& store, Progress& progress,
          const Clock& clock)
      : problems_(problems),
        grader_(grader),
        store_(store),
        progress_(progress),
        clock_(clock),
        verdicts_(problems.size()) {}

  // Until none is left or one has failed.
  void Work() ABSL_LOCKS_EXCLUDED(mu_) {
    for (size_t i = next_++; i < problems_.size() && !failed_; i = next_++) {
      const absl::Status status = JudgeOne(i);
      if (!status.ok()) {
        const MutexLock lock(mu_);
        if (!failed_) failure_ = status;
        failed_ = true;
      }
    }
  }

  absl::StatusOr<std::vector<CanonicalVerdict>> Finish() && ABSL_LOCKS_EXCLUDED(mu_) {
    const MutexLock lock(mu_);
    EVILMOE_RETURN_IF_ERROR(failure_);
    return std::move(verdicts_);
  }

 private:
  absl::Status JudgeOne(size_t i) {
    const std::string key = ProblemKey(problems_[i]);
    if (std::optional<CanonicalVerdict> known = store_.Find(key)) {
      verdicts_[i] = *std::move(known);
    } else {
      EVILMOE_ASSIGN_OR_RETURN(verdicts_[i], Ask(problems_[i], grader_, clock_));
      EVILMOE_RETURN_IF_ERROR(store_.Add(key, verdicts_[i]));
    }
    const size_t passed = verdicts_[i].reason ? passed_.load() : ++passed_;
    progress_.Step(absl::StrCat(passed, " pass"));
    return absl::OkStatus();
  }

  const std::span<const Problem> problems_;
  Grader& grader_;
  VerdictStore& store_;
  Progress& progress_;
  const Clock& clock_;
  std::vector<CanonicalVerdict> verdicts_;  // each element is one thread's
  std::atomic<size_t> next_ = 0;
  std::atomic<size_t> passed_ = 0;
  std::atomic<bool> failed_ = false;
  Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::vector<CanonicalVerdict>> JudgeCanonical(std::span<const Problem> problems, Grader& grader,
                                                             int num_threads, VerdictStore& store, Progress& progress,
                                                             const Clock& clock) {
  Judging judging(problems, grader, store, progress, clock);
  {
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<size_t>(num_threads));
    for (int i = 0; i < num_threads; ++i) threads.emplace_back([&judging] { judging.Work(); });
  }
  return std::move(judging).Finish();
}

}  // namespace evilmoe
