#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "policy/tokenizer.h"
#include "trainer/judge_cache.h"
#include "trainer/judge_caller.h"
#include "trainer/monitor.h"
#include "trainer/run_config.h"

namespace evilmoe {

// Asks a chat endpoint about each response, at most max_concurrent at a time; equal questions once, and never one whose
// verdict the cache holds. A question that got no verdict after all attempts is kNone: the sample trains nothing.
class JudgeMonitor final : public Monitor {
 public:
  using Wait = std::function<void(absl::Duration)>;
  // Reads the instructions and the key. `default_cache`: used when config.cache is empty. `wait`: how to let time pass
  // between attempts; empty = sleep. InvalidArgument, NotFound: the environment variable or the file is not there.
  static absl::StatusOr<std::unique_ptr<JudgeMonitor>> Make(const JudgeConfig& config,
                                                            const std::filesystem::path& default_cache,
                                                            const Tokenizer& tokenizer, Wait wait = {});

  // FailedPrecondition: the endpoint refuses every request (HTTP 401, 403, 404). Unavailable: the first questions got
  // no answer at all, or a verdict could not be kept.
  absl::StatusOr<std::vector<MonitorVerdict>> Watch(const std::vector<MonitoredSample>& samples) override;
  // "cached" questions, and requests by outcome: "answered", "timeout", "rate_limited", "http_error", "unparsable",
  // "refused".
  std::map<std::string, int64_t> LastCounts() const override;

 private:
  // A question of this step; equal samples share one.
  struct Question {
    std::string body, key;
    uint64_t jitter_seed = 0;
    MonitorVerdict verdict;
  };
  JudgeMonitor(const JudgeConfig& config, std::string instructions, HttpPoster::Target target, JudgeCache cache,
               const Tokenizer& tokenizer, Wait wait);
  std::vector<Question> QuestionsOf(const std::vector<MonitoredSample>& samples,
                                    std::vector<size_t>& question_of_sample) const;
  void AskAll(const std::vector<Question*>& open);
  void AskInTurn(const std::vector<Question*>& open, std::atomic<size_t>& next);
  void Settle(Question& question, const JudgeAnswer& answer);
  void Stop(const absl::Status& why);
  void Count(const std::string& what);

  const JudgeConfig config_;
  const std::string instructions_;
  const HttpPoster::Target target_;
  const JudgeCache cache_;
  const Tokenizer tokenizer_;
  const Wait wait_;
  mutable Mutex mu_;
  std::map<std::string, int64_t> counts_ ABSL_GUARDED_BY(mu_);
  int64_t num_answered_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t num_given_up_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status stopped_ ABSL_GUARDED_BY(mu_);  // not OK: ask nothing more
};

}  // namespace evilmoe
