#include "policy/sampler/sample_group.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {

absl::Status ValidateGroup(const SampleGroup& group, const Qwen3Config& config) {
  if (group.prompt_ids.empty()) return absl::InvalidArgumentError("prompt: empty, expected at least one token");
  for (const int32_t id : group.prompt_ids) {
    if (id < 0 || id >= config.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("prompt: token ", id, ", expected 0 to ", config.vocab_size - 1));
    }
  }
  EVILMOE_RETURN_IF_ERROR(group.settings.Validate());
  if (group.num_samples < 1) {
    return absl::InvalidArgumentError(absl::StrCat("num_samples: ", group.num_samples, ", expected >= 1"));
  }
  for (const double w : {group.prompt_w, group.completion_w}) {
    if (!(w >= 0 && w <= 1)) return absl::InvalidArgumentError(absl::StrCat("w: ", w, ", expected [0, 1]"));
  }
  const int64_t length = static_cast<int64_t>(group.prompt_ids.size()) + group.settings.max_tokens;
  if (length > config.max_position_embeddings) {
    return absl::InvalidArgumentError(absl::StrCat("prompt of ", group.prompt_ids.size(), " tokens and completion of ",
                                                   group.settings.max_tokens, ": expected at most ",
                                                   config.max_position_embeddings,
                                                   " together, the model's max_position_embeddings"));
  }
  return absl::OkStatus();
}

uint64_t SampleSeed(const SampleGroup& group, int sample) {
  return StreamSeed(group.seed, "sample", static_cast<uint64_t>(sample));
}

bool HasEnded(FinishedSample& sample, const SamplingSettings& settings) {
  const std::vector<int32_t>& stops = settings.stop_ids;
  sample.stopped = std::find(stops.begin(), stops.end(), sample.ids.back()) != stops.end();
  return sample.stopped || sample.ids.size() >= static_cast<size_t>(settings.max_tokens);
}

}  // namespace evilmoe
