#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace evilmoe {

// How a token is drawn. The cuts apply in this order, each to what the one before left: top-k, top-p, min-p.
struct SamplingSettings {
  double temperature = 1.0;  // >= 0; 0 = greedy: the likeliest token, of equals the one with the smallest id
  double top_p = 1.0;        // (0, 1]: the smallest set of tokens whose probability reaches it
  int top_k = 0;             // 0 = off
  double min_p = 0.0;        // [0, 1]: tokens less likely than this times the likeliest go; 0 = off
  int max_tokens = 1;        // >= 1
  std::vector<int32_t> stop_ids;
  bool operator==(const SamplingSettings&) const = default;

  bool truncates() const { return top_p < 1.0 || top_k > 0 || min_p > 0.0; }
  // InvalidArgument names the field.
  absl::Status Validate() const;
};

// A token and its log-probability under three distributions.
struct SampledToken {
  int32_t id = 0;
  float logprob = 0;            // at `temperature`, before anything is cut: what the loss needs. Greedy: at 1
  float logprob_t1 = 0;         // at temperature 1
  float logprob_truncated = 0;  // of what was drawn from: after the cuts. Greedy: 0
};

// Draws one token by the inverse CDF at `uniform` in [0, 1), in order of id (in order of probability when something is
// cut). A pure function in double precision: the reference of FastTokenSampler. Requires finite logits.
SampledToken SampleToken(std::span<const float> logits, const SamplingSettings& settings, double uniform);

}  // namespace evilmoe
