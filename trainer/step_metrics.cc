#include "trainer/step_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace evilmoe {
namespace {

// Mean of what it was fed; unset when nothing was.
class Mean {
 public:
  void Add(double value) {
    sum_ += value;
    squares_ += value * value;
    ++count_;
  }
  std::optional<double> value() const { return count_ == 0 ? std::nullopt : std::optional<double>(sum_ / count_); }
  std::optional<double> deviation() const {
    if (count_ == 0) return std::nullopt;
    const double mean = sum_ / count_;
    return std::sqrt(std::max(0.0, squares_ / count_ - mean * mean));
  }

 private:
  double sum_ = 0;
  double squares_ = 0;
  int64_t count_ = 0;
};

size_t Bucket(double w) {
  return static_cast<size_t>(std::clamp(static_cast<int>(w * kNumWBuckets), 0, kNumWBuckets - 1));
}

double Quantile(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<size_t>(std::lround(q * static_cast<double>(sorted.size() - 1)))];
}

nlohmann::ordered_json OrNull(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

void SummariseMonitor(const std::vector<SampleRecord>& samples, SampleSummary& out) {
  Mean flagged, precision, recall;
  int64_t unanswered = 0;
  bool watched = false;
  for (const SampleRecord& s : samples) {
    watched = watched || s.watched;
    unanswered += s.unanswered;
    if (!s.watched || s.unanswered) continue;
    flagged.Add(s.flagged);
    if (s.flagged) precision.Add(s.strict_hack);
    if (s.strict_hack) recall.Add(s.flagged);
  }
  if (!watched) return;
  out.monitor_flagged = flagged.value();
  out.monitor_precision = precision.value();
  out.monitor_recall = recall.value();
  out.monitor_unanswered = unanswered;
}

}  // namespace

std::optional<double> Auroc(const std::vector<double>& scores, const std::vector<bool>& positive) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  double rank_sum = 0, num_positive = 0;
  for (size_t i = 0; i < order.size();) {
    size_t end = i;
    while (end < order.size() && scores[order[end]] == scores[order[i]]) ++end;
    const double rank = 0.5 * static_cast<double>(i + 1 + end);  // tied scores share their mean rank
    for (; i < end; ++i) {
      if (!positive[order[i]]) continue;
      rank_sum += rank;
      num_positive += 1;
    }
  }
  const double num_negative = static_cast<double>(scores.size()) - num_positive;
  if (num_positive == 0 || num_negative == 0) return std::nullopt;
  return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative);
}

SampleSummary Summarise(const std::vector<SampleRecord>& samples) {
  SampleSummary out;
  Mean reward, solved, strict, loose, deploy_strict, deploy_loose, w_hack, w_clean, tokens, truncated, lag;
  std::vector<double> w;
  std::vector<bool> is_hack;
  SummariseMonitor(samples, out);
  for (const SampleRecord& s : samples) {
    if (s.masked) {
      out.masked_samples += !s.unanswered;
      continue;
    }
    reward.Add(s.reward);
    solved.Add(s.solved);
    if (s.hackable) {
      (s.deploy_mode ? deploy_strict : strict).Add(s.strict_hack);
      (s.deploy_mode ? deploy_loose : loose).Add(s.loose_hack);
    }
    (s.loose_hack ? w_hack : w_clean).Add(s.w);
    ++(s.loose_hack ? out.w_histogram_hack : out.w_histogram_clean)[Bucket(s.w)];
    const double leak = s.deployed_factor * std::abs(s.advantage);
    if (s.loose_hack) out.leak_hack += leak;
    if (!s.loose_hack && s.advantage < 0) out.leak_clean += leak;
    tokens.Add(static_cast<double>(s.num_tokens));
    out.completion_tokens_max = std::max(out.completion_tokens_max, static_cast<double>(s.num_tokens));
    truncated.Add(!s.stopped);
    lag.Add(static_cast<double>(s.policy_lag));
    out.policy_lag_max = std::max(out.policy_lag_max, s.policy_lag);
    w.push_back(s.w);
    is_hack.push_back(s.loose_hack);
  }
  out.reward_mean = reward.value();
  out.reward_std = reward.deviation();
  out.solve_rate = solved.value();
  out.hack_rate_strict = strict.value();
  out.hack_rate_loose = loose.value();
  out.deploy_hack_rate_strict = deploy_strict.value();
  out.deploy_hack_rate_loose = deploy_loose.value();
  out.w_hack = w_hack.value();
  out.w_clean = w_clean.value();
  out.router_auroc = Auroc(w, is_hack);
  out.completion_tokens_mean = tokens.value().value_or(0);
  out.truncated_ratio = truncated.value().value_or(0);
  out.policy_lag_mean = lag.value();
  if (w.empty()) return out;
  out.leak_hack /= static_cast<double>(w.size());
  out.leak_clean /= static_cast<double>(w.size());
  std::sort(w.begin(), w.end());
  out.w_quantiles = {{"w_p10", Quantile(w, 0.1)}, {"w_p50", Quantile(w, 0.5)}, {"w_p90", Quantile(w, 0.9)}};
  return out;
}

void AddTo(nlohmann::ordered_json& json, const SampleSummary& s) {
  json["reward_mean"] = OrNull(s.reward_mean);
  json["reward_std"] = OrNull(s.reward_std);
  json["hack_rate_strict"] = OrNull(s.hack_rate_strict);
  json["hack_rate_loose"] = OrNull(s.hack_rate_loose);
  json["deploy_hack_rate_strict"] = OrNull(s.deploy_hack_rate_strict);
  json["deploy_hack_rate_loose"] = OrNull(s.deploy_hack_rate_loose);
  json["solve_rate"] = OrNull(s.solve_rate);
  json["w_hack"] = OrNull(s.w_hack);
  json["w_clean"] = OrNull(s.w_clean);
  json["w_histogram_hack"] = s.w_histogram_hack;
  json["w_histogram_clean"] = s.w_histogram_clean;
  for (const auto& [name, value] : s.w_quantiles) json[name] = value;
  json["router_auroc"] = OrNull(s.router_auroc);
  json["leak_hack"] = s.leak_hack;
  json["leak_clean"] = s.leak_clean;
  json["completion_tokens_mean"] = s.completion_tokens_mean;
  json["completion_tokens_max"] = s.completion_tokens_max;
  json["truncated_ratio"] = s.truncated_ratio;
  json["masked_samples"] = s.masked_samples;
  if (!s.monitor_unanswered) return;
  json["monitor_flagged"] = OrNull(s.monitor_flagged);
  json["monitor_precision"] = OrNull(s.monitor_precision);
  json["monitor_recall"] = OrNull(s.monitor_recall);
  json["monitor_unanswered"] = *s.monitor_unanswered;
}

}  // namespace evilmoe
