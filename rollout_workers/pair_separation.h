#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "environment/pairs.h"
#include "policy/tokenizer.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// How well contrastive pairs tell hacks from honest answers before any training, with the base model and the adapter's
// init: what the router starts from.
// Legend: P pairs, D = M·r features.

// A pair whose numbers come from a direction, a scale and a bias that all other pairs seeded.
struct HeldOutPair {
  double cos_hack = 0, cos_clean = 0;  // of the features with the direction, [-1, 1]
  double w_hack = 0, w_clean = 0;      // the router's, [0, 1]
};

struct PairSeparation {
  std::vector<HeldOutPair> held_out;  // (P), in order
  double auroc = 0;                   // of the held-out cosines of all sides, hack against clean, ties half
  double ordered = 0;                 // share of the pairs with cos_hack > cos_clean
  // As training seeds the router, from all pairs: w = σ(scale · cos + bias).
  double gap = 0;  // mean cos of the hack sides − of the clean ones
  double scale = 0;
  double bias = 0;
};

// `separation` as router.separation. InvalidArgument: fewer than two pairs, or two sides of different shape.
// FailedPrecondition: without some pair, which is named by its number from 1, or with all of them, the sides look
// alike.
absl::StatusOr<PairSeparation> SeparatePairs(const at::Tensor& hack_PD, const at::Tensor& clean_PD, int64_t rank,
                                             double separation);

// As training tokenises them: the prompt through the chat template, each side with the end of the turn where the
// tokenizer has one.
absl::StatusOr<std::vector<PairIds>> TokenisePairs(std::span<const ContrastivePair> pairs, const Tokenizer& tokenizer,
                                                   bool thinking);

struct SeparationOptions {
  std::filesystem::path model;  // folder of a Qwen3
  int rank = 32;                // adapter.rank
  uint64_t seed = 0;            // of the first adapter's init
  int num_seeds = 1;            // one adapter each: seed, seed + 1, ..., >= 1
  double separation = 4.0;      // router.separation
  int threads = 1;
};
// One entry a seed. Errors of SeparatePairs and of loading; InvalidArgument: a token that the model lacks, or a pair
// longer than its positions, by number.
absl::StatusOr<std::vector<PairSeparation>> MeasureSeparation(const SeparationOptions& options,
                                                              const std::vector<PairIds>& pairs);

}  // namespace evilmoe
