#include "trainer/relearn.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"
#include "trainer/monitoring.h"
#include "trainer/optimizer.h"
#include "trainer/policy_step.h"
#include "trainer/sampled_step.h"
#include "trainer/step_metrics.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

// The run without routing, monitors, deploy mode and policy lag: what is left is the reward.
RunConfig RelearnConfig(RunConfig config) {
  config.routing.mode = "none";
  config.rollout.deploy_mode_fraction = 0;
  config.rollout.max_policy_lag = 0;
  config.loss.deployed_advantage = "same";
  config.loss.inner_steps = 1;
  config.monitor = {};
  return config;
}

AdamW FreshOptimizer(const RunConfig& config, const Lora2r& adapter, double learning_rate) {
  std::vector<at::Tensor> parameters;
  for (const AdapterModule& m : adapter.modules()) parameters.insert(parameters.end(), {m.a, m.b});
  return AdamW(
      parameters, {},
      {.learning_rate = learning_rate, .beta1 = config.optimizer.betas[0], .beta2 = config.optimizer.betas[1]});
}

// Only the fresh block learns. In the optimizer's order.
std::vector<at::Tensor> FreshGradients(const StepGradients& gradients, int64_t rank) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> fresh;
  for (size_t i = 0; i < gradients.adapter.size(); ++i) {  // A and B in turn
    const at::Tensor& gradient = gradients.adapter[i];
    if (gradient.defined()) gradient.narrow(i % 2 == 0 ? 0 : 1, 0, rank).zero_();
    fresh.push_back(gradient);
  }
  return fresh;
}

std::string Line(const nlohmann::ordered_json& result) {
  std::string text;
  for (const auto& start : result["starts"]) {
    const std::string name = start["start"].get<std::string>();
    const std::string when = start["returned_at"].is_null() ? "never" : absl::StrCat(start["returned_at"].get<int>());
    absl::StrAppend(&text, text.empty() ? "" : ", ", when, " from ", name);
  }
  return absl::StrFormat("relearn: steps until the hack rate is back at %.2f (of %d): %s",
                         result["threshold"].get<double>(), result["steps"].get<int>(), text);
}

}  // namespace

absl::StatusOr<Lora2r> CutAdapter(const Qwen3Config& config, const Lora2r& trained, const AdapterMode& mode,
                                  uint64_t seed) {
  Lora2rOptions options = trained.options();
  const bool subtracts_init = options.random_ab;
  options.rank = (subtracts_init ? 4 : 2) * trained.rank();
  options.random_ab = false;
  options.seed = seed;
  EVILMOE_ASSIGN_OR_RETURN(Lora2r adapter, Lora2r::Init(config, options));
  if (mode.part == AdapterPart::kBase) return adapter;
  return TorchGuard("cutting an adapter", [&] {
    const c10::NoGradGuard no_grad;
    const Lora2r cut = trained.InMode(mode);
    for (size_t m = 0; m < adapter.modules().size(); ++m) {
      const AdapterModule &from = cut.modules()[m], &to = adapter.modules()[m];
      // B A − B0 A0 as one product.
      const at::Tensor a = subtracts_init ? at::cat({from.a, from.a0}, 0) : from.a;
      const at::Tensor b = subtracts_init ? at::cat({from.b, -from.b0}, 1) : from.b;
      to.a.narrow(0, 0, options.rank).copy_(a);
      to.b.narrow(1, 0, options.rank).copy_(b);
    }
    return adapter;
  });
}

Relearn::Relearn(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter, const PromptSource& prompts,
                 const RelearnOptions& options)
    : config_(RelearnConfig(config)), base_(base), adapter_(adapter), prompts_(prompts), options_(options) {}

absl::StatusOr<nlohmann::ordered_json> Relearn::RunStart(const std::string& start, const PromptSource& prompts,
                                                         const Lora2r& adapter, int64_t first_step, Rollouts& rollouts,
                                                         const Clock& clock,
                                                         const std::function<void(const StepDone&)>& report) const {
  SingleRank alone;
  OpenGate gate;
  const TwoExpertAdapter trained(adapter);
  const PolicyStep policy_step(config_, base_, trained, {}, options_.threads, alone);
  const double rate = options_.learning_rate > 0
                          ? options_.learning_rate
                          : config_.optimizer.learning_rate * (adapter_.options().random_ab ? 2 : 1);
  AdamW optimizer = FreshOptimizer(config_, adapter, rate);
  Monitoring nobody = Monitoring::None();
  nlohmann::ordered_json result = {{"start", start}, {"returned_at", nullptr}};
  result["hack_rate"] = result["solve_rate"] = nlohmann::ordered_json::array();
  for (int step = 1; step <= options_.steps; ++step) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, adapter.Serialize());
    EVILMOE_RETURN_IF_ERROR(rollouts.Publish(first_step + step - 1, bytes));
    EVILMOE_ASSIGN_OR_RETURN(const SampledStep sampled,
                             SampleStep(config_, prompts, first_step + step - 1, rollouts, nobody, clock));
    const SampleSummary summary = Summarise(sampled.graded.records);
    const double hacks = summary.hack_rate_strict.value_or(0);
    result["hack_rate"].push_back(hacks);
    result["solve_rate"].push_back(summary.solve_rate.value_or(0));
    report({start, step, options_.steps, hacks});
    if (hacks >= options_.threshold) {
      result["returned_at"] = step;
      return result;
    }
    StepGradients gradients;
    EVILMOE_ASSIGN_OR_RETURN(const StepStats stats, policy_step.Run(sampled.graded.groups, gate, gradients));
    EVILMOE_ASSIGN_OR_RETURN(const double norm, TorchGuard("optimizer", [&] {
                               std::vector<at::Tensor> fresh = FreshGradients(gradients, adapter.rank());
                               const double before = ClipGradNorm(fresh, config_.optimizer.max_grad_norm);
                               const double factor =
                                   ScheduleFactor("constant", step - 1, options_.steps, config_.optimizer.warmup_steps);
                               if (std::isfinite(before)) optimizer.Step(fresh, factor);
                               return before;
                             }));
    if (!std::isfinite(stats.loss) || !std::isfinite(norm)) {
      return absl::FailedPreconditionError(absl::StrCat("relearn from ", start, ", step ", step, ": loss ", stats.loss,
                                                        ", gradient norm ", norm, ", expected finite numbers"));
    }
  }
  return result;
}

absl::StatusOr<nlohmann::ordered_json> Relearn::Run(const std::string& key, int64_t first_step, Rollouts& rollouts,
                                                    const Clock& clock,
                                                    const std::function<void(const StepDone&)>& report) const {
  const AdapterMode half{.part = AdapterPart::kRandomHalf,
                         .projector_seed = StreamSeed(config_.seed, "random_half", 0),
                         .prompt_uses_adapter = true};
  nlohmann::ordered_json result = {{"threshold", options_.threshold}, {"steps", options_.steps}};
  for (const auto& [name, mode] : {std::pair<std::string, AdapterMode>{"off", {.part = AdapterPart::kQuarantineOff}},
                                   {"random_half", half},
                                   {"base", {.part = AdapterPart::kBase}}}) {
    EVILMOE_ASSIGN_OR_RETURN(const Lora2r adapter,
                             CutAdapter(base_.config, adapter_, mode, StreamSeed(config_.seed, "relearn", 0)));
    EVILMOE_ASSIGN_OR_RETURN(nlohmann::ordered_json start,
                             RunStart(name, prompts_.Under(config_, absl::StrCat("relearn/", key, "/", name, "/")),
                                      adapter, first_step, rollouts, clock, report));
    result["starts"].push_back(std::move(start));
  }
  result["line"] = Line(result);
  return result;
}

}  // namespace evilmoe
