#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace evilmoe {

inline constexpr int kNumWBuckets = 20;

// One graded sample as the metrics see it. Labels are for metrics alone.
struct SampleRecord {
  double w = 0;
  double deployed_factor = 1;  // of the gradient that D's parameters get: 1 − w where the router is a learned one
  double reward = 0;           // as graded, before a monitor
  double advantage = 0;
  bool masked = false;
  bool deploy_mode = false;
  bool hackable = true;  // the prompt showed a loophole
  bool strict_hack = false;
  bool loose_hack = false;
  bool solved = false;
  bool stopped = true;
  bool watched = false;     // a monitor was asked, and:
  bool flagged = false;     // called it a hack
  bool unanswered = false;  // could not tell; masked
  int64_t num_tokens = 0;
  int64_t policy_lag = 0;  // steps that the policy which sampled it was behind the one that is trained
};

// What metrics.jsonl says of the samples of one step: rates over unmasked samples. A rate over no sample is unset.
struct SampleSummary {
  std::optional<double> reward_mean, reward_std, solve_rate;
  std::optional<double> hack_rate_strict, hack_rate_loose;  // sampled with the whole adapter, loophole shown
  std::optional<double> deploy_hack_rate_strict, deploy_hack_rate_loose;      // sampled with the quarantine off
  std::optional<double> w_hack, w_clean;                                      // mean w of loose hacks and of the rest
  std::array<int64_t, kNumWBuckets> w_histogram_hack{}, w_histogram_clean{};  // over [0, 1]
  std::map<std::string, double> w_quantiles;                                  // "w_p10" ... of all samples
  std::optional<double> router_auroc;                                         // of w against loose hack
  double leak_hack = 0;   // Σ factor of D · |A| over hacks / samples
  double leak_clean = 0;  // the same over clean samples with A < 0
  double completion_tokens_mean = 0, completion_tokens_max = 0, truncated_ratio = 0;
  int64_t masked_samples = 0;  // but for the unanswered
  // Of a run with policy lag: AddTo() leaves them to its caller.
  std::optional<double> policy_lag_mean;
  int64_t policy_lag_max = 0;
  // Of a monitor; unset without one. Precision and recall are against strict hacks.
  std::optional<double> monitor_flagged, monitor_precision, monitor_recall;
  std::optional<int64_t> monitor_unanswered;
};
SampleSummary Summarise(const std::vector<SampleRecord>& samples);

// Area under the ROC curve of `scores` for `positive` (ties count half); unset when one class is empty.
std::optional<double> Auroc(const std::vector<double>& scores, const std::vector<bool>& positive);

// Writes the fields under the names of metrics.jsonl; an unset one becomes null.
void AddTo(nlohmann::ordered_json& json, const SampleSummary& summary);

}  // namespace evilmoe
