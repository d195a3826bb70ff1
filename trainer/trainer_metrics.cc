#include "trainer/trainer_metrics.h"

#include <vector>

#include "trainer/step_metrics.h"

namespace evilmoe {
namespace {

// Which field of a step's payload feeds which gauge.
struct GaugeRow {
  const char* field;
  const char* name;
  const char* label;  // "" = none
  const char* value;
};
constexpr GaugeRow kGauges[] = {
    {"step", "step", "", ""},
    {"loss", "loss", "", ""},
    {"pin_loss", "pin_loss", "", ""},
    {"balance_loss", "balance_loss", "", ""},
    {"reward_mean", "reward_mean", "", ""},
    {"reward_std", "reward_std", "", ""},
    {"hack_rate_strict", "hack_rate", "kind", "strict"},
    {"hack_rate_loose", "hack_rate", "kind", "loose"},
    {"deploy_hack_rate_strict", "deploy_hack_rate", "kind", "strict"},
    {"deploy_hack_rate_loose", "deploy_hack_rate", "kind", "loose"},
    {"solve_rate", "solve_rate", "", ""},
    {"kl", "kl", "", ""},
    {"entropy", "entropy", "", ""},
    {"clip_fraction_low", "clip_fraction", "side", "low"},
    {"clip_fraction_high", "clip_fraction", "side", "high"},
    {"grad_norm_deployed", "grad_norm", "block", "deployed"},
    {"grad_norm_quarantine", "grad_norm", "block", "quarantine"},
    {"grad_norm_router", "grad_norm", "block", "router"},
    {"q_mass", "q_mass", "", ""},
    {"leak_hack", "leak", "from", "hack"},
    {"leak_clean", "leak", "from", "clean"},
    {"dl_dw", "dl_dw", "", ""},
    {"importance_ratio_mean", "importance_ratio", "stat", "mean"},
    {"importance_ratio_max", "importance_ratio", "stat", "max"},
    {"policy_lag_mean", "policy_lag", "stat", "mean"},
    {"policy_lag_max", "policy_lag", "stat", "max"},
    {"completion_tokens_mean", "completion_tokens", "stat", "mean"},
    {"completion_tokens_max", "completion_tokens", "stat", "max"},
    {"truncated_ratio", "truncated_ratio", "", ""},
    {"router_auroc", "router_auroc", "", ""},
    {"router_angle_radians", "router_angle_radians", "", ""},
    {"pair_separation", "pair_separation", "", ""},
    {"logp_difference_mean", "logp_difference", "stat", "mean"},
    {"logp_difference_max", "logp_difference", "stat", "max"},
    {"monitor_flagged", "monitor", "stat", "flagged"},
    {"monitor_precision", "monitor", "stat", "precision"},
    {"monitor_recall", "monitor", "stat", "recall"},
    {"learning_rate", "learning_rate", "", ""},
    {"sample_seconds", "step_seconds", "stage", "sample"},
    {"monitor_seconds", "step_seconds", "stage", "monitor"},
    {"train_seconds", "step_seconds", "stage", "train"},
    {"publish_seconds", "step_seconds", "stage", "publish"},
    {"step_seconds", "step_seconds", "stage", "all"},
};

constexpr const char* kEventKinds[] = {"checkpoint", "evaluation", "recovery", "warning"};
constexpr char kHelp[] = "See docs/metrics.md.";

}  // namespace

template <typename Family>
Family& TrainerMetrics::OfRun(const std::string& name, Family& family) {
  forget_.try_emplace(name, [this, &family] { registry_.Remove(family); });
  return family;
}

void TrainerMetrics::Begin(const std::string& run_id) {
  for (const auto& [name, forget] : forget_) forget();
  forget_.clear();
  run_id_ = run_id;
  // What Prometheus sees for the first time has not increased yet.
  for (const char* kind : kEventKinds) Count("evilmoe_train_events_total", {{"kind", kind}}, 0);
  for (const char* stage : {"sample", "train"}) Count("evilmoe_train_tokens_total", {{"stage", stage}}, 0);
  for (const char* reason : {"infrastructure", "monitor"}) {
    Count("evilmoe_train_masked_samples_total", {{"reason", reason}}, 0);
  }
  for (const char* name :
       {"evilmoe_train_samples_total", "evilmoe_train_zero_variance_groups_total", "evilmoe_train_bad_steps_total"}) {
    Count(name, {}, 0);
  }
}

void TrainerMetrics::Observe(const std::string& kind, const nlohmann::ordered_json& payload) {
  if (kind == "step") ObserveStep(payload);
  if (kind == "ablation" || kind == "step_ablation") {
    ObserveAblation(payload);
    CountEvent("evaluation");
  }
  if (kind == "recovery" || kind == "warning") CountEvent(kind);
}

void TrainerMetrics::CountEvent(const std::string& kind) { Count("evilmoe_train_events_total", {{"kind", kind}}, 1); }

void TrainerMetrics::SetGauge(const std::string& name, const std::map<std::string, std::string>& labels,
                              const nlohmann::ordered_json& value) {
  if (!value.is_number()) return;
  std::map<std::string, std::string> all = labels;
  all["run"] = run_id_;
  OfRun(name, prometheus::BuildGauge().Name(name).Help(kHelp).Register(registry_)).Add(all).Set(value.get<double>());
}

void TrainerMetrics::Count(const std::string& name, const std::map<std::string, std::string>& labels,
                           const nlohmann::ordered_json& amount) {
  if (!amount.is_number()) return;
  std::map<std::string, std::string> all = labels;
  all["run"] = run_id_;
  OfRun(name, prometheus::BuildCounter().Name(name).Help(kHelp).Register(registry_))
      .Add(all)
      .Increment(amount.get<double>());
}

void TrainerMetrics::ObserveW(const nlohmann::ordered_json& step, const std::string& field, const char* w_class) {
  if (!step.contains(field) || !step[field].is_array()) return;
  const auto counts = step[field].get<std::vector<double>>();
  // One more bucket than bounds: +Inf, which w never reaches. The middle of a bucket stands for its values.
  std::vector<double> increments = counts;
  increments.push_back(0);
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) sum += counts[i] * (static_cast<double>(i) + 0.5) / kNumWBuckets;
  std::vector<double> bounds;
  for (int i = 1; i <= kNumWBuckets; ++i) bounds.push_back(static_cast<double>(i) / kNumWBuckets);
  const std::string name = "evilmoe_router_w";
  OfRun(name, prometheus::BuildHistogram().Name(name).Help(kHelp).Register(registry_))
      .Add({{"run", run_id_}, {"class", w_class}}, bounds)
      .ObserveMultiple(increments, sum);
}

void TrainerMetrics::ObserveStep(const nlohmann::ordered_json& step) {
  for (const GaugeRow& row : kGauges) {
    if (!step.contains(row.field)) continue;
    std::map<std::string, std::string> labels;
    if (*row.label != '\0') labels[row.label] = row.value;
    SetGauge(std::string("evilmoe_train_") + row.name, labels, step[row.field]);
  }
  ObserveW(step, "w_histogram_hack", "hack");
  ObserveW(step, "w_histogram_clean", "clean");
  const auto field = [&](const char* name) { return step.value(name, nlohmann::ordered_json(nullptr)); };
  Count("evilmoe_train_tokens_total", {{"stage", "sample"}}, field("sampled_tokens"));
  Count("evilmoe_train_tokens_total", {{"stage", "train"}}, field("trained_tokens"));
  Count("evilmoe_train_samples_total", {}, field("samples"));
  Count("evilmoe_train_zero_variance_groups_total", {}, field("zero_variance_groups"));
  Count("evilmoe_train_bad_steps_total", {}, step.value("bad_step", nlohmann::ordered_json(0)));
  Count("evilmoe_train_masked_samples_total", {{"reason", "infrastructure"}}, field("masked_samples"));
  Count("evilmoe_train_masked_samples_total", {{"reason", "monitor"}}, field("monitor_unanswered"));
  const nlohmann::ordered_json judge = step.value("judge", nlohmann::ordered_json::object());
  for (const auto& [outcome, amount] : judge.items()) {
    Count("evilmoe_train_judge_requests_total", {{"outcome", outcome}}, amount);
  }
  SetGauge("evilmoe_train_last_step_timestamp_seconds", {}, absl::ToDoubleSeconds(clock_.Now() - absl::UnixEpoch()));
}

void TrainerMetrics::ObserveAblation(const nlohmann::ordered_json& table) {
  for (const auto& row : table.value("rows", nlohmann::ordered_json::array())) {
    const std::map<std::string, std::string> labels = {{"mode", row.value("mode", "")},
                                                       {"markers", row.value("markers", "")}};
    SetGauge("evilmoe_eval_hack_rate", labels, row.value("hack_strict", nlohmann::ordered_json(nullptr)));
    SetGauge("evilmoe_eval_solve_rate", labels, row.value("solve", nlohmann::ordered_json(nullptr)));
  }
}

}  // namespace evilmoe
