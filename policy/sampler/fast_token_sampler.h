#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "policy/sampler/kernels.h"
#include "policy/sampler/token_sampler.h"

namespace evilmoe {

// SampleToken in fp32 with vectorised exponentials, sums of blocks in double, and only the likeliest tokens sorted. The
// same draw as the reference but where `uniform` falls within rounding (about 1e-6) of a boundary. Keeps its buffers:
// not thread-safe, one a thread.
class FastTokenSampler {
 public:
  // `kernels` must outlive this.
  explicit FastTokenSampler(const Kernels& kernels) : kernels_(&kernels) {}

  // nullopt: a logit is not finite.
  std::optional<SampledToken> Sample(std::span<const float> logits, const SamplingSettings& settings, double uniform);

 private:
  struct Candidate {
    float weight;
    int32_t id;
  };
  double Exponentials(std::span<const float> logits, float top, double temperature, bool keep);
  int32_t DrawFromAll(double total, double uniform) const;
  void FindNucleus(const SamplingSettings& settings, double total);
  float LowestWeight(const SamplingSettings& settings, double total);

  const Kernels* kernels_;
  std::vector<float> weights_;       // e^((logit − top) / temperature)
  std::vector<double> block_sums_;   // of 256 weights
  std::vector<Candidate> nucleus_;   // by falling weight, ties by id
  std::vector<double> bucket_mass_;  // of weights by their leading bits
  std::vector<int64_t> bucket_count_;
};

}  // namespace evilmoe
