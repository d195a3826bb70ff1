#include "trainer/training_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "environment/pairs.h"
#include "policy/chat_template.h"
#include "policy/torch_guard.h"

namespace evilmoe {
namespace {

Lora2rOptions AdapterOptions(const RunConfig& config) {
  return {.rank = config.adapter.rank,
          .random_ab = config.adapter.init == "random_ab",
          .scale = config.adapter.alpha ? *config.adapter.alpha / config.adapter.rank : 1.0,
          .scope_completion = config.adapter.scope == "completion",
          .seed = config.seed,
          .targets = config.adapter.targets};
}

// A side ends with the end-of-turn token, as a sampled completion does.
absl::StatusOr<std::vector<int32_t>> SideIds(const std::string& text, const Tokenizer& tokenizer, int32_t end_of_turn) {
  EVILMOE_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.Encode(text));
  ids.push_back(end_of_turn);
  return ids;
}

absl::StatusOr<std::vector<PairIds>> TokenisePairs(const RunConfig& config, const Tokenizer& tokenizer) {
  std::vector<PairIds> out;
  if (config.routing.mode != "learned") return out;
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

AdamW AdapterOptimizer(const RunConfig& config, const Lora2r& adapter) {
  std::vector<at::Tensor> parameters, anchors;
  for (const AdapterModule& m : adapter.modules()) {
    parameters.insert(parameters.end(), {m.a, m.b});
    anchors.insert(anchors.end(), {m.a0, m.b0});
  }
  return AdamW(parameters, anchors,
               {.learning_rate = config.optimizer.learning_rate,
                .beta1 = config.optimizer.betas[0],
                .beta2 = config.optimizer.betas[1],
                .decay = config.optimizer.decay_to_init});
}

double NormOfExpert(const StepGradients& gradients, int64_t rank, bool quarantine) {
  double squares = 0;
  const int64_t begin = quarantine ? rank : 0;
  for (const at::Tensor& g : gradients.a) {
    if (g.defined()) squares += g.narrow(0, begin, rank).square().sum().item<double>();
  }
  for (const at::Tensor& g : gradients.b) {
    if (g.defined()) squares += g.narrow(1, begin, rank).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

bool IsFinite(const TrainingModel::Update& update) {
  const StepStats& stats = update.stats;
  return std::isfinite(stats.loss) && std::isfinite(stats.pin_loss) && std::isfinite(update.grad_norm) &&
         std::isfinite(update.grad_norm_router) &&
         std::all_of(stats.w.begin(), stats.w.end(), [](double w) { return std::isfinite(w); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Load(const RunConfig& config, int threads, Collective&) {
  return Load(config, threads);
}

absl::StatusOr<std::unique_ptr<TrainingModel>> TrainingModel::Load(const RunConfig& config, int threads) {
  at::set_num_threads(1);  // the shards of a step are the parallelism
  EVILMOE_ASSIGN_OR_RETURN(Tokenizer tokenizer, Tokenizer::Load(config.model.path));
  EVILMOE_ASSIGN_OR_RETURN(Qwen3Weights base, LoadQwen3(config.model.path));
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
  EVILMOE_ASSIGN_OR_RETURN(Lora2r adapter, Lora2r::Init(base.config, AdapterOptions(config)));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<PairIds> pairs, TokenisePairs(config, tokenizer));
  std::unique_ptr<TrainingModel> model(
      new TrainingModel(config, std::move(tokenizer), std::move(base), std::move(adapter), std::move(pairs), threads));
  EVILMOE_RETURN_IF_ERROR(model->SeedRouter());
  return model;
}

TrainingModel::TrainingModel(const RunConfig& config, Tokenizer tokenizer, Qwen3Weights base, Lora2r adapter,
                             std::vector<PairIds> pairs, int threads)
    : config_(config),
      tokenizer_(std::move(tokenizer)),
      base_(std::move(base)),
      adapter_(std::move(adapter)),
      policy_step_(config_, base_, adapter_, std::move(pairs), threads),
      adapter_optimizer_(AdapterOptimizer(config_, adapter_)) {}

absl::Status TrainingModel::SeedRouter() {
  if (config_.routing.mode != "learned") return absl::OkStatus();
  EVILMOE_ASSIGN_OR_RETURN(const PolicyStep::PairFeatures pairs, policy_step_.ReadPairs());
  const RouterOptions options{
      .direction = config_.router.direction == "pairs" ? RouterDirection::kPairs : RouterDirection::kRandom,
      .separation = config_.router.separation,
      .seed = config_.seed};
  absl::StatusOr<Router> router = Router::Seed(pairs.hack, pairs.clean, adapter_.rank(), options);
  EVILMOE_RETURN_IF_ERROR(Annotate(router.status(), config_.pairs.string()));
  router_.emplace(*std::move(router));
  const auto betas = std::pair{config_.optimizer.betas[0], config_.optimizer.betas[1]};
  direction_optimizer_.emplace(
      std::vector<at::Tensor>{router_->u()}, std::vector<at::Tensor>{},
      AdamWOptions{.learning_rate = config_.router.learning_rate, .beta1 = betas.first, .beta2 = betas.second});
  scale_optimizer_.emplace(
      std::vector<at::Tensor>{router_->log_scale(), router_->bias()}, std::vector<at::Tensor>{},
      AdamWOptions{.learning_rate = config_.router.scale_learning_rate, .beta1 = betas.first, .beta2 = betas.second});
  return absl::OkStatus();
}

absl::StatusOr<TrainingModel::Update> TrainingModel::Step(int64_t step, const std::vector<TrainGroup>& groups) {
  StepGradients gradients;
  Update update;
  EVILMOE_ASSIGN_OR_RETURN(update.stats, policy_step_.Run(groups, router_ ? &*router_ : nullptr, gradients));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<at::Tensor> adapter_gradients,
                           TorchGuard("gradients", [&] { return MeasureAndClip(gradients, update); }));
  const double factor = ScheduleFactor(config_.optimizer.schedule, step, config_.steps, config_.optimizer.warmup_steps);
  update.learning_rate = config_.optimizer.learning_rate * factor;
  update.dropped = !IsFinite(update);
  if (update.dropped) return update;
  return TorchGuard("optimizer", [&] {
    adapter_optimizer_.Step(adapter_gradients, factor);
    if (router_) {
      direction_optimizer_->Step({gradients.u}, 1.0);
      scale_optimizer_->Step({gradients.log_scale, gradients.bias}, 1.0);
    }
    return update;
  });
}

// The adapter's gradients in the optimizer's order, clipped; the norms go into `update`.
std::vector<at::Tensor> TrainingModel::MeasureAndClip(const StepGradients& gradients, Update& update) const {
  update.grad_norm_deployed = NormOfExpert(gradients, adapter_.rank(), /*quarantine=*/false);
  update.grad_norm_quarantine = NormOfExpert(gradients, adapter_.rank(), /*quarantine=*/true);
  const double both = update.grad_norm_deployed + update.grad_norm_quarantine;
  update.q_mass = both > 0 ? update.grad_norm_quarantine / both : 0;
  std::vector<at::Tensor> adapter_gradients;
  for (size_t m = 0; m < gradients.a.size(); ++m) {
    adapter_gradients.insert(adapter_gradients.end(), {gradients.a[m], gradients.b[m]});
  }
  update.grad_norm = ClipGradNorm(adapter_gradients, config_.optimizer.max_grad_norm);
  std::vector<at::Tensor> router_gradients = {gradients.u, gradients.log_scale, gradients.bias};
  update.grad_norm_router = ClipGradNorm(router_gradients, INFINITY);
  return adapter_gradients;
}

TrainerState TrainingModel::State(int64_t step) {
  return {.step = step,
          .run_id = {},
          .adapter = &adapter_,
          .router = router_ ? &*router_ : nullptr,
          .adapter_optimizer = &adapter_optimizer_,
          .direction_optimizer = direction_optimizer_ ? &*direction_optimizer_ : nullptr,
          .scale_optimizer = scale_optimizer_ ? &*scale_optimizer_ : nullptr};
}

}  // namespace evilmoe
