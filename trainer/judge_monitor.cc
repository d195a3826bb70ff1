#include "trainer/judge_monitor.h"

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// So many questions given up before any was answered: the endpoint is down, and the rest would only cost time.
constexpr int64_t kGivenUpMeansDown = 8;
constexpr size_t kMaxInstructionBytes = 1 << 20;

std::string UrlOf(std::string endpoint) {
  while (!endpoint.empty() && endpoint.back() == '/') endpoint.pop_back();
  return endpoint + "/chat/completions";
}

absl::StatusOr<HttpPoster::Target> TargetOf(const JudgeConfig& config) {
  HttpPoster::Target target{.url = UrlOf(config.endpoint),
                            .headers = {"Content-Type: application/json"},
                            .timeout = absl::Seconds(config.timeout_s)};
  if (config.api_key_env.empty()) return target;
  const char* key = std::getenv(config.api_key_env.c_str());  // NOLINT(concurrency-mt-unsafe): nobody sets any
  if (key == nullptr || *key == '\0' || std::string_view(key).find_first_of("\r\n") != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("monitor.judge.api_key_env: the trainer's environment has no ",
                                                   config.api_key_env, ", expected the endpoint's key in it"));
  }
  target.headers.push_back(absl::StrCat("Authorization: Bearer ", key));
  return target;
}

std::string_view NameOf(JudgeOutcome outcome) {
  switch (outcome) {
    case JudgeOutcome::kAnswered: return "answered";
    case JudgeOutcome::kTimeout: return "timeout";
    case JudgeOutcome::kRateLimited: return "rate_limited";
    case JudgeOutcome::kHttpError: return "http_error";
    case JudgeOutcome::kUnparsable: return "unparsable";
    case JudgeOutcome::kRefused:
    case JudgeOutcome::kFatal: return "refused";
  }
  return "refused";
}

MonitorVerdict VerdictOf(JudgeVerdict verdict) {
  const bool hack = verdict == JudgeVerdict::kHack;
  return {.kind = hack ? MonitorVerdict::Kind::kFlagged : MonitorVerdict::Kind::kClear};
}

}  // namespace

absl::StatusOr<std::unique_ptr<JudgeMonitor>> JudgeMonitor::Make(const JudgeConfig& config,
                                                                 const std::filesystem::path& default_cache,
                                                                 const Tokenizer& tokenizer, Wait wait) {
  EVILMOE_ASSIGN_OR_RETURN(HttpPoster::Target target, TargetOf(config));
  std::string instructions(DefaultJudgeInstructions());
  if (!config.prompt.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(instructions, ReadFile(config.prompt, kMaxInstructionBytes));
  }
  if (!wait) wait = [](absl::Duration duration) { absl::SleepFor(duration); };
  return std::unique_ptr<JudgeMonitor>(new JudgeMonitor(config, std::move(instructions), std::move(target),
                                                        JudgeCache(config.cache.empty() ? default_cache : config.cache),
                                                        tokenizer, std::move(wait)));
}

JudgeMonitor::JudgeMonitor(const JudgeConfig& config, std::string instructions, HttpPoster::Target target,
                           JudgeCache cache, const Tokenizer& tokenizer, Wait wait)
    : config_(config),
      instructions_(std::move(instructions)),
      target_(std::move(target)),
      cache_(std::move(cache)),
      tokenizer_(tokenizer),
      wait_(std::move(wait)) {}

std::vector<JudgeMonitor::Question> JudgeMonitor::QuestionsOf(const std::vector<MonitoredSample>& samples,
                                                              std::vector<size_t>& question_of_sample) const {
  std::vector<Question> questions;
  std::unordered_map<std::string, size_t> by_key;
  for (const MonitoredSample& sample : samples) {
    const std::string task = tokenizer_.Decode(sample.prompt_ids);
    std::string body = JudgeRequestBody(config_.model, instructions_, config_.max_tokens, {task, sample.response});
    std::string key = JudgeCache::KeyOf(body);
    const auto [place, is_new] = by_key.try_emplace(key, questions.size());
    question_of_sample.push_back(place->second);
    if (is_new) questions.push_back({std::move(body), std::move(key), sample.stream_seed, {}});
  }
  return questions;
}

absl::StatusOr<std::vector<MonitorVerdict>> JudgeMonitor::Watch(const std::vector<MonitoredSample>& samples) {
  {
    MutexLock lock(mu_);
    counts_.clear();
    num_answered_ = num_given_up_ = 0;
    stopped_ = absl::OkStatus();
  }
  std::vector<size_t> question_of_sample;
  std::vector<Question> questions = QuestionsOf(samples, question_of_sample);
  std::vector<Question*> open;
  for (Question& question : questions) {
    if (const auto known = cache_.Find(question.key)) {
      question.verdict = VerdictOf(*known);
      Count("cached");
    } else {
      open.push_back(&question);
    }
  }
  AskAll(open);
  {
    MutexLock lock(mu_);
    EVILMOE_RETURN_IF_ERROR(stopped_);
  }
  std::vector<MonitorVerdict> verdicts;
  verdicts.reserve(samples.size());
  for (const size_t question : question_of_sample) verdicts.push_back(questions[question].verdict);
  return verdicts;
}

void JudgeMonitor::AskAll(const std::vector<Question*>& open) {
  std::atomic<size_t> next = 0;
  std::vector<std::jthread> threads;
  const size_t num_threads = std::min(open.size(), static_cast<size_t>(config_.max_concurrent));
  for (size_t t = 0; t < num_threads; ++t) threads.emplace_back([&] { AskInTurn(open, next); });
}

// One thread's share: whatever question is next, over a connection of its own.
void JudgeMonitor::AskInTurn(const std::vector<Question*>& open, std::atomic<size_t>& next) {
  absl::StatusOr<HttpPoster> poster = HttpPoster::Make(target_);
  if (!poster.ok()) return Stop(poster.status());
  for (size_t i = next++; i < open.size(); i = next++) {
    {
      MutexLock lock(mu_);
      if (!stopped_.ok()) return;
    }
    Question& question = *open[i];
    Settle(question, AskJudge(*poster, question.body,
                              {.retries = config_.retries,
                               .jitter_seed = question.jitter_seed,
                               .heard = [this](JudgeOutcome outcome) { Count(std::string(NameOf(outcome))); },
                               .wait = wait_}));
  }
}

void JudgeMonitor::Settle(Question& question, const JudgeAnswer& answer) {
  if (answer.verdict.ok()) {
    question.verdict = VerdictOf(*answer.verdict);
    if (const absl::Status kept = cache_.Keep(question.key, *answer.verdict); !kept.ok()) Stop(kept);
    MutexLock lock(mu_);
    ++num_answered_;
    return;
  }
  const std::string problem(answer.verdict.status().message());
  question.verdict = {.kind = MonitorVerdict::Kind::kNone, .problem = problem};
  if (answer.last == JudgeOutcome::kFatal) {
    return Stop(absl::FailedPreconditionError(
        absl::StrCat(target_.url, ": ", problem, "; check monitor.judge's endpoint, model and api_key_env")));
  }
  bool down = false;
  {
    MutexLock lock(mu_);
    down = ++num_given_up_ >= kGivenUpMeansDown && num_answered_ == 0;
  }
  if (down) {
    Stop(absl::UnavailableError(
        absl::StrCat("judge: none of the first ", kGivenUpMeansDown, " questions got a verdict; the last: ", problem)));
  }
}

void JudgeMonitor::Stop(const absl::Status& why) {
  MutexLock lock(mu_);
  if (stopped_.ok()) stopped_ = why;
}

void JudgeMonitor::Count(const std::string& what) {
  MutexLock lock(mu_);
  ++counts_[what];
}

std::map<std::string, int64_t> JudgeMonitor::LastCounts() const {
  MutexLock lock(mu_);
  return counts_;
}

}  // namespace evilmoe
