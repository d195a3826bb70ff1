#include "trainer/step_event.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

// What TRL's GRPOTrainer logs has its name there; of the stages of a step, what verl calls them.
struct KnownTag {
  const char* field;
  const char* tag;
};
constexpr KnownTag kKnownTags[] = {{"reward_mean", "reward"},
                                   {"reward_std", "reward_std"},
                                   {"loss", "loss"},
                                   {"kl", "kl"},
                                   {"entropy", "entropy"},
                                   {"grad_norm", "grad_norm"},
                                   {"learning_rate", "learning_rate"},
                                   {"completion_tokens_mean", "completions/mean_length"},
                                   {"completion_tokens_max", "completions/max_length"},
                                   {"truncated_ratio", "completions/clipped_ratio"},
                                   {"clip_fraction_low", "clip_ratio/low_mean"},
                                   {"clip_fraction_high", "clip_ratio/high_mean"},
                                   {"importance_ratio_mean", "sampling/importance_sampling_ratio/mean"},
                                   {"importance_ratio_max", "sampling/importance_sampling_ratio/max"},
                                   {"logp_difference_mean", "sampling/sampling_logp_difference/mean"},
                                   {"logp_difference_max", "sampling/sampling_logp_difference/max"},
                                   {"step_seconds", "step_time"},
                                   {"sample_seconds", "timing_s/gen"},
                                   {"train_seconds", "timing_s/update_actor"}};

// The first row whose word is in a metric's name says which section it is shown in.
struct Section {
  const char* word;
  const char* name;
};
constexpr Section kSections[] = {
    {"_seconds", "time"},      {"_per_second", "time"},       {"hack_rate", "outcome"},  {"solve_rate", "outcome"},
    {"grad_norm", "gradient"}, {"q_mass", "gradient"},        {"dl_dw", "gradient"},     {"router", "router"},
    {"leak", "router"},        {"pair_separation", "router"}, {"pin_loss", "router"},    {"w_hack", "router"},
    {"w_clean", "router"},     {"w_histogram", "router"},     {"w_p", "router"},         {"monitor", "monitor"},
    {"judge", "monitor"},      {"balance_loss", "router"},    {"policy_lag", "sampling"}};

std::string TagOf(const std::string& name) {
  for (const KnownTag& known : kKnownTags) {
    if (name == known.field) return known.tag;
  }
  for (const Section& section : kSections) {
    if (absl::StrContains(name, section.word)) return absl::StrCat(section.name, "/", name);
  }
  return absl::StrCat("step/", name);
}

// Counts of equal buckets over [0, 1]; a value counts as the middle of its bucket. False: all are 0.
bool FillHistogram(const std::vector<double>& counts, tensorboard::Histogram& out) {
  const double width = 1.0 / static_cast<double>(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    const double left = static_cast<double>(i) * width, middle = left + width / 2;
    out.add_bucket_limit(static_cast<double>(i + 1) / static_cast<double>(counts.size()));
    out.add_bucket(counts[i]);
    if (counts[i] == 0) continue;
    if (out.num() == 0) out.set_min(left);
    out.set_max(left + width);
    out.set_num(out.num() + counts[i]);
    out.set_sum(out.sum() + counts[i] * middle);
    out.set_sum_squares(out.sum_squares() + counts[i] * middle * middle);
  }
  return out.num() > 0;
}

bool IsHistogram(const nlohmann::ordered_json& value) {
  if (!value.is_array() || value.empty()) return false;
  for (const nlohmann::ordered_json& count : value) {
    if (!count.is_number()) return false;
  }
  return true;
}

void AddValues(const std::string& prefix, const nlohmann::ordered_json& metrics, tensorboard::Summary& summary) {
  for (const auto& [key, value] : metrics.items()) {
    const std::string name = prefix + key;
    if (value.is_object()) {
      AddValues(name + "_", value, summary);
    } else if (value.is_number() && name != "step") {
      tensorboard::Summary::Value& scalar = *summary.add_value();
      scalar.set_tag(TagOf(name));
      scalar.set_simple_value(value.get<float>());
    } else if (tensorboard::Histogram histogram;
               IsHistogram(value) && FillHistogram(value.get<std::vector<double>>(), histogram)) {
      tensorboard::Summary::Value& shown = *summary.add_value();
      shown.set_tag(TagOf(name));
      *shown.mutable_histo() = std::move(histogram);
    }
  }
}

}  // namespace

tensorboard::Event StepEvent(const nlohmann::ordered_json& metrics, absl::Time now) {
  tensorboard::Event event;
  event.set_wall_time(absl::ToDoubleSeconds(now - absl::UnixEpoch()));
  event.set_step(metrics.at("step").get<int64_t>());
  AddValues("", metrics, *event.mutable_summary());
  return event;
}

}  // namespace evilmoe
