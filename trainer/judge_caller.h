#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "trainer/http_post.h"
#include "trainer/judge_prompt.h"

namespace evilmoe {

// What became of one request.
enum class JudgeOutcome {
  kAnswered,
  kTimeout,
  kRateLimited,  // 429
  kHttpError,    // another status that may pass (408, 425, 5xx), or no connection
  kUnparsable,   // a reply without a verdict
  kRefused,      // a status that this question will always get (400, 413, 422, ...)
  kFatal,        // one that every question will get (401, 403, 404)
};
JudgeOutcome OutcomeOf(const absl::StatusOr<HttpReply>& reply);
// Worth asking again.
bool MayPass(JudgeOutcome outcome);

// How long to wait before attempt `attempt` + 1 (attempts count from 0): 0.5 s doubled each time, at most 30 s, times
// 0.5 + uniform/2 so that many callers spread out; never less than Retry-After.
absl::Duration BackoffBefore(int attempt, double uniform, absl::Duration retry_after);
// Longest that a caller waits; a server that asks for more gets no further request for this question.
inline constexpr absl::Duration kLongestBackoff = absl::Minutes(2);

struct JudgeAnswer {
  absl::StatusOr<JudgeVerdict> verdict = absl::UnknownError("");  // not OK: none, after all attempts
  JudgeOutcome last = JudgeOutcome::kAnswered;
};

// Asks one question until it is answered, no attempt is left, or the outcome cannot pass. `heard` is told of each
// request's outcome, `wait` blocks for that long.
struct JudgeCall {
  int retries = 0;
  uint64_t jitter_seed = 0;
  std::function<void(JudgeOutcome)> heard;
  std::function<void(absl::Duration)> wait;
};
JudgeAnswer AskJudge(HttpPoster& poster, const std::string& body, const JudgeCall& call);

}  // namespace evilmoe
