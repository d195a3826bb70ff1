#include "trainer/training_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "environment/pairs.h"
#include "policy/chat_template.h"
#include "policy/lora2r_forward.h"
#include "policy/torch_guard.h"
#include "trainer/make_adapter.h"
#include "trainer/make_gate.h"

namespace evilmoe {
namespace {

// A side ends with the end-of-turn token, as a sampled completion does.
absl::StatusOr<std::vector<int32_t>> SideIds(const std::string& text, const Tokenizer& tokenizer, int32_t end_of_turn) {
  EVILMOE_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.Encode(text));
  ids.push_back(end_of_turn);
  return ids;
}

absl::StatusOr<std::vector<PairIds>> TokenisePairs(const RunConfig& config, const Tokenizer& tokenizer) {
  std::vector<PairIds> out;
  if (!NeedsPairs(config)) return out;
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<ContrastivePair> pairs, LoadPairs(config.pairs));
  const std::optional<int32_t> end_of_turn = tokenizer.IdOf("<|im_end|>");
  if (!end_of_turn) return absl::InvalidArgumentError("tokenizer: no token <|im_end|>");
  for (const ContrastivePair& pair : pairs) {
    PairIds ids;
    EVILMOE_ASSIGN_OR_RETURN(const std::string prompt, RenderChat(pair.prompt, {.thinking = config.model.thinking}));
    EVILMOE_ASSIGN_OR_RETURN(ids.prompt_ids, tokenizer.Encode(prompt));
    EVILMOE_ASSIGN_OR_RETURN(ids.hack_ids, SideIds(pair.hack, tokenizer, *end_of_turn));
    EVILMOE_ASSIGN_OR_RETURN(ids.clean_ids, SideIds(pair.clean, tokenizer, *end_of_turn));
    out.push_back(std::move(ids));
  }
  return out;
}

AdamW AdapterOptimizer(const RunConfig& config, const TrainedAdapter& adapter) {
  std::vector<at::Tensor> parameters, anchors;
  for (const TrainedAdapter::Parameter& parameter : adapter.parameters()) {
    parameters.push_back(parameter.value);
    anchors.push_back(parameter.anchor);
  }
  return AdamW(parameters, anchors,
               {.learning_rate = config.optimizer.learning_rate,
                .beta1 = config.optimizer.betas[0],
                .beta2 = config.optimizer.betas[1],
                .decay = config.optimizer.decay_to_init});
}

bool IsFinite(const TrainingModel::Update& update) {
  const StepStats& stats = update.stats;
  return std::isfinite(stats.loss) && std::isfinite(stats.pin_loss) && std::isfinite(update.grad_norm) &&
         std::isfinite(update.grad_norm_router) &&
         std::all_of(stats.w.begin(), stats.w.end(), [](double w) { return std::isfinite(w); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Load(const RunConfig& config, int threads) {
  static SingleRank alone;
  return Load(config, threads, alone);
}

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Load(const RunConfig& config, int threads,
                                                                   Collective& collective) {
  const c10::Device device = collective.device();
  at::set_num_threads(1);  // the shards of a step are the parallelism
  EVILMOE_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Load(config.model.path));
  const auto dtype = config.model.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  EVILMOE_ASSIGN_OR_RETURN(Qwen3Weights base,
                           LoadQwen3(config.model.path, {.dtype = dtype, .device = device, .map_file = true}));
  if (tokenizer.vocab_size() > base.config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(config.model.path.string(), ": the tokenizer has ",
                                                   tokenizer.vocab_size(), " tokens, the model only ",
                                                   base.config.vocab_size));
  }
  const int64_t longest = int64_t{config.rollout.max_prompt_tokens} + config.rollout.max_completion_tokens;
  if (longest > base.config.max_position_embeddings) {
    return absl::InvalidArgumentError(
        absl::StrCat("rollout.max_prompt_tokens + max_completion_tokens: ", longest, ", expected at most the model's ",
                     base.config.max_position_embeddings, " positions (", config.model.path.string(), "/config.json)"));
  }
  EVILMOE_ASSIGN_OR_RETURN(std::unique_ptr<TrainedAdapter> adapter, MakeAdapter(config, base.config, device));
  if (!device.is_cpu()) threads = 1;
  EVILMOE_ASSIGN_OR_RETURN(std::vector<PairIds> pairs, TokenisePairs(config, tokenizer));
  std::unique_ptr<TrainingModel> model(new TrainingModel(config, std::move(tokenizer), std::move(base),
                                                         std::move(adapter), std::move(pairs), threads, collective));
  EVILMOE_RETURN_IF_ERROR(model->SeedGate());
  return model;
}

TrainingModel::TrainingModel(const RunConfig& config, Tokenizer tokenizer, Qwen3Weights base,
                             std::unique_ptr<TrainedAdapter> adapter, std::vector<PairIds> pairs, int threads,
                             Collective& collective)
    : config_(config),
      collective_(collective),
      tokenizer_(std::move(tokenizer)),
      base_(std::move(base)),
      adapter_(std::move(adapter)),
      policy_step_(config_, base_, *adapter_, std::move(pairs), threads, collective_),
      adapter_optimizer_(AdapterOptimizer(config_, *adapter_)) {}

absl::Status TrainingModel::SeedGate() {
  PairFeatures pairs;
  if (NeedsPairs(config_)) {
    EVILMOE_ASSIGN_OR_RETURN(pairs, policy_step_.ReadPairs(FeaturesOf(config_)));
  }
  const Lora2r* two_experts = adapter_->two_experts();
  absl::StatusOr<std::unique_ptr<RolloutGate>> gate =
      MakeGate(config_, two_experts != nullptr ? NumFeatures(*two_experts) : 0, pairs);
  EVILMOE_RETURN_IF_ERROR(Annotate(gate.status(), config_.pairs.string()));
  gate_ = *std::move(gate);
  return absl::OkStatus();
}

absl::StatusOr<TrainingModel::Update> TrainingModel::Step(int64_t step, const std::vector<TrainGroup>& groups) {
  if (gate_->refreshes(step)) {
    EVILMOE_ASSIGN_OR_RETURN(const PairFeatures pairs, policy_step_.ReadPairs(gate_->reads()));
    absl::Status refreshed;
    EVILMOE_RETURN_IF_ERROR(TorchGuard("gate", [&] {
                              refreshed = gate_->Refresh(pairs);
                              return true;
                            }).status());
    EVILMOE_RETURN_IF_ERROR(Annotate(refreshed, config_.pairs.string()));
  }
  const double factor = ScheduleFactor(config_.optimizer.schedule, step, config_.steps, config_.optimizer.warmup_steps);
  const LossConfig& loss = config_.loss;
  if (loss.inner_steps == 1 && loss.minibatches == 1) return OptimizerStep(factor, groups, {});
  Minibatches minibatches(groups, loss.minibatches,
                          StreamSeed(config_.seed, "minibatches", static_cast<uint64_t>(step)));
  UpdateMean mean(minibatches.num_samples());
  for (int inner = 0; inner < loss.inner_steps; ++inner) {
    for (int m = 0; m < minibatches.size(); ++m) {
      std::vector<std::vector<float>> logprobs;
      EVILMOE_ASSIGN_OR_RETURN(const Update update,
                               OptimizerStep(factor, minibatches.groups(m),
                                             {.first = inner == 0, .logprobs = inner == 0 ? &logprobs : nullptr}));
      if (inner == 0) minibatches.SetOldLogProbs(m, logprobs);
      mean.Add(update, minibatches.sample_places(m));
      if (update.dropped) return mean.Get();
    }
  }
  return mean.Get();
}

absl::StatusOr<TrainingModel::Update> TrainingModel::OptimizerStep(double factor, const std::vector<TrainGroup>& groups,
                                                                   const InnerPass& pass) {
  StepGradients gradients;
  Update update;
  EVILMOE_ASSIGN_OR_RETURN(update.stats, policy_step_.Run(groups, *gate_, gradients, pass));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<at::Tensor> adapter_gradients,
                           TorchGuard("gradients", [&] { return MeasureAndClip(gradients, update); }));
  update.learning_rate = config_.optimizer.learning_rate * factor;
  update.dropped = !IsFinite(update);
  if (update.dropped) return update;
  return TorchGuard("optimizer", [&] {
    adapter_optimizer_.Step(adapter_gradients, factor);
    gate_->Step(gradients);
    return update;
  });
}

// The adapter's gradients, clipped; the norms go into `update`.
std::vector<at::Tensor> TrainingModel::MeasureAndClip(const StepGradients& gradients, Update& update) const {
  const BlockNorms norms = adapter_->Norms(gradients.adapter);
  update.grad_norm_deployed = norms.deployed;
  update.grad_norm_quarantine = norms.quarantine;
  const double both = norms.deployed + norms.quarantine;
  update.q_mass = both > 0 ? norms.quarantine / both : 0;
  std::vector<at::Tensor> adapter_gradients = gradients.adapter;
  update.grad_norm = ClipGradNorm(adapter_gradients, config_.optimizer.max_grad_norm);
  std::vector<at::Tensor> router_gradients = {gradients.u, gradients.log_scale, gradients.bias};
  update.grad_norm_router = ClipGradNorm(router_gradients, INFINITY);
  return adapter_gradients;
}

TrainerState TrainingModel::State(int64_t step) {
  TrainerState state{.step = step, .run_id = {}, .adapter = adapter_.get(), .tensors = gate_->tensors()};
  state.optimizers = {{"adapter", &adapter_optimizer_}};
  for (const auto& optimizer : gate_->optimizers()) state.optimizers.push_back(optimizer);
  return state;
}

}  // namespace evilmoe
