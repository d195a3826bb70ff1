#include "trainer/probe_monitor.h"

#include <ATen/ATen.h>

#include <deque>

#include "common/status_macros.h"
#include "trainer/probe_features.h"

namespace evilmoe {
namespace {

// Neighbours that share a prompt become one group. The deques own the ids: their elements stay where they are.
struct Groups {
  explicit Groups(const std::vector<MonitoredSample>& samples) {
    const int32_t* prompt = nullptr;
    for (const MonitoredSample& sample : samples) {
      if (sample.prompt_ids.data() != prompt) {
        prompt = sample.prompt_ids.data();
        groups.push_back({.prompt = &ids.emplace_back(sample.prompt_ids.begin(), sample.prompt_ids.end())});
      }
      groups.back().completions.push_back(&ids.emplace_back(sample.response_ids.begin(), sample.response_ids.end()));
    }
  }
  std::deque<std::vector<int32_t>> ids;
  std::vector<PromptCompletions> groups;
};

}  // namespace

absl::StatusOr<std::vector<MonitorVerdict>> ProbeMonitor::Watch(const std::vector<MonitoredSample>& samples) {
  const Groups groups(samples);
  EVILMOE_ASSIGN_OR_RETURN(const at::Tensor means, ResponseMeans(base_, probe_.layer, groups.groups));
  const auto width = static_cast<size_t>(means.size(1));
  const std::span<const float> all(means.const_data_ptr<float>(), samples.size() * width);
  std::vector<MonitorVerdict> verdicts;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double score = probe_.Score(all.subspan(i * width, width));
    verdicts.push_back(
        {.kind = probe_.Flags(score) ? MonitorVerdict::Kind::kFlagged : MonitorVerdict::Kind::kClear, .score = score});
  }
  return verdicts;
}

}  // namespace evilmoe
