#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evilmoe {

// How a token is drawn.
struct SamplingSettings {
  double temperature = 1.0;  // > 0
  double top_p = 1.0;        // (0, 1]: the smallest set of tokens whose probability reaches it
  int top_k = 0;             // 0 = off
  int max_tokens = 1;        // >= 1
  std::vector<int32_t> stop_ids;
  bool operator==(const SamplingSettings&) const = default;
};

struct SampledToken {
  int32_t id = 0;
  float logprob = 0;  // at `temperature`, before top-k and top-p cut anything
};

// Draws one token by the inverse CDF at `uniform` in [0, 1), in order of id (in order of probability when top-k or
// top-p cuts). A pure function, so the draw does not depend on the batch. Requires finite logits.
SampledToken SampleToken(std::span<const float> logits, const SamplingSettings& settings, double uniform);

}  // namespace evilmoe
