#include "trainer/judge_caller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/shown_text.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(500);
constexpr absl::Duration kLongestDoubling = absl::Seconds(30);
constexpr size_t kShownBytes = 200;

absl::Status ProblemOf(const absl::StatusOr<HttpReply>& reply) {
  if (!reply.ok()) return reply.status();
  if (reply->status == 200) return ParseVerdict(reply->body).status();
  return absl::UnavailableError(absl::StrCat("judge: HTTP ", reply->status, ": ", ShownText(reply->body, kShownBytes)));
}

}  // namespace

JudgeOutcome OutcomeOf(const absl::StatusOr<HttpReply>& reply) {
  if (absl::IsDeadlineExceeded(reply.status())) return JudgeOutcome::kTimeout;
  if (!reply.ok()) return JudgeOutcome::kHttpError;
  const int status = reply->status;
  if (status == 200) return ParseVerdict(reply->body).ok() ? JudgeOutcome::kAnswered : JudgeOutcome::kUnparsable;
  if (status == 429) return JudgeOutcome::kRateLimited;
  if (status == 401 || status == 403 || status == 404) return JudgeOutcome::kFatal;
  if (status == 408 || status == 425 || status >= 500) return JudgeOutcome::kHttpError;
  return JudgeOutcome::kRefused;
}

bool MayPass(JudgeOutcome outcome) {
  return outcome == JudgeOutcome::kTimeout || outcome == JudgeOutcome::kRateLimited ||
         outcome == JudgeOutcome::kHttpError || outcome == JudgeOutcome::kUnparsable;
}

absl::Duration BackoffBefore(int attempt, double uniform, absl::Duration retry_after) {
  const absl::Duration doubled = std::min(kFirstBackoff * (int64_t{1} << std::min(attempt, 20)), kLongestDoubling);
  return std::max(doubled * (0.5 + uniform / 2), retry_after);
}

JudgeAnswer AskJudge(HttpPoster& poster, const std::string& body, const JudgeCall& call) {
  JudgeAnswer answer;
  for (int attempt = 0;; ++attempt) {
    const absl::StatusOr<HttpReply> reply = poster.Post(body);
    answer.last = OutcomeOf(reply);
    call.heard(answer.last);
    if (answer.last == JudgeOutcome::kAnswered) {
      answer.verdict = ParseVerdict(reply->body);
      return answer;
    }
    answer.verdict = ProblemOf(reply);
    if (!MayPass(answer.last) || attempt >= call.retries) return answer;
    const absl::Duration asked = reply.ok() ? reply->retry_after : absl::ZeroDuration();
    const double uniform = CounterUniform(call.jitter_seed, static_cast<uint64_t>(attempt));
    const absl::Duration backoff = BackoffBefore(attempt, uniform, asked);
    if (backoff > kLongestBackoff) return answer;
    call.wait(backoff);
  }
}

}  // namespace evilmoe
