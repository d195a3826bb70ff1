#pragma once

#include <string>

#include "common/mutex.h"
#include "policy/tokenizer.h"
#include "services/page/page_guard.h"
#include "services/page/page_message.h"
#include "services/page/rollout_table.h"
#include "services/page/run_source.h"
#include "services/report/run_record.h"

namespace evilmoe {

// The page's data: one JSON answer a request (README.md has the routes). What comes of a run's directory is read beneath
// it alone, within bounds. Holds the calling thread for as long as a file takes. Thread-safe. References must outlive it.
class PageApi {
 public:
  PageApi(RunSource& source, const PageGuard& guard) : source_(source), guard_(guard) {}

  // `request.path` begins with "api", "v1". Never fails: what is wrong is an answer too.
  PageReply Answer(const PageRequest& request);

 private:
  absl::StatusOr<PageReply> Route(const PageRequest& request);
  absl::StatusOr<PageReply> OfRun(const PageRequest& request);
  absl::StatusOr<PageReply> Session(const PageRequest& request);
  absl::StatusOr<PageReply> Runs();
  absl::StatusOr<PageReply> Run(const PageRun& run);
  absl::StatusOr<PageReply> Metrics(const PageRun& run, const PageRequest& request);
  absl::StatusOr<PageReply> Events(const PageRun& run, const PageRequest& request);
  absl::StatusOr<PageReply> Ablation(const PageRun& run, const PageRequest& request);
  absl::StatusOr<PageReply> Rollouts(const PageRun& run, const PageRequest& request);
  absl::StatusOr<PageReply> RolloutPage(const RolloutTable& table, int64_t step, const PageRequest& request);
  absl::StatusOr<PageReply> OneRollout(const PageRun& run, const RolloutTable& table, const std::string& index);
  absl::StatusOr<PageReply> Logs(const PageRun& run, const PageRequest& request);
  absl::StatusOr<PageReply> Act(const std::string& run_id, const std::string& action);
  // The prompt as text, where the run's model is in reach. The last tokenizer is kept.
  absl::StatusOr<std::string> PromptOf(const PageRun& run, const RolloutRow& row) ABSL_LOCKS_EXCLUDED(mu_);

  RunSource& source_;
  const PageGuard& guard_;
  RolloutCache rollouts_;
  Mutex mu_;
  std::string model_ ABSL_GUARDED_BY(mu_);  // folder of tokenizer_
  absl::StatusOr<Tokenizer> tokenizer_ ABSL_GUARDED_BY(mu_) = absl::NotFoundError("none yet");
};

}  // namespace evilmoe
