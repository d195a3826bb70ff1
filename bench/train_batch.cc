#include "bench/train_batch.h"

#include <ATen/ATen.h>

#include <map>

#include "common/file.h"
#include "common/status_macros.h"
#include "environment/pairs.h"
#include "policy/chat_template.h"
#include "policy/tensor_io.h"
#include "trainer/saved_rollouts.h"

namespace evilmoe {
namespace {

absl::StatusOr<nlohmann::json> PairsJson(const RunConfig& config, const Tokenizer& tokenizer) {
  nlohmann::json out = nlohmann::json::array();
  if (config.routing.mode != "learned") return out;
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<ContrastivePair> pairs, LoadPairs(config.pairs));
  for (const ContrastivePair& pair : pairs) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string prompt, RenderChat(pair.prompt, {.thinking = config.model.thinking}));
    nlohmann::json line;
    for (const auto& [name, text] : {std::pair<const char*, std::string>{"prompt_ids", prompt},
                                     {"hack_ids", pair.hack + "<|im_end|>"},
                                     {"clean_ids", pair.clean + "<|im_end|>"}}) {
      EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(text));
      line[name] = ids;
    }
    out.push_back(std::move(line));
  }
  return out;
}

nlohmann::json GroupsJson(const GradedStep& step) {
  nlohmann::json out = nlohmann::json::array();
  size_t record = 0;
  for (const TrainGroup& group : step.groups) {
    nlohmann::json samples = nlohmann::json::array();
    for (const TrainSample& sample : group.samples) {
      samples.push_back({{"ids", sample.ids},
                         {"logprobs", sample.sampler_logprobs},
                         {"advantage", sample.advantage},
                         {"reward", step.records[record].reward},
                         {"deploy_mode", sample.deploy_mode}});
      ++record;
    }
    out.push_back({{"prompt_ids", group.prompt_ids}, {"in_loss", group.in_loss}, {"samples", std::move(samples)}});
  }
  return out;
}

nlohmann::json ConfigJson(const RunConfig& config) {
  return {{"rank", config.adapter.rank},
          {"temperature", config.rollout.temperature},
          {"learning_rate", config.optimizer.learning_rate},
          {"betas", config.optimizer.betas},
          {"max_grad_norm", config.optimizer.max_grad_norm},
          {"separation", config.router.separation},
          {"pin_weight", config.router.pin_weight},
          {"router_learning_rate", config.router.learning_rate},
          {"scale_learning_rate", config.router.scale_learning_rate}};
}

}  // namespace

absl::StatusOr<GradedStep> RecordedStep(const RunConfig& config, const std::filesystem::path& rollouts) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<nlohmann::json> lines, ReadRolloutLines(rollouts));
  EVILMOE_ASSIGN_OR_RETURN(const SavedBatch batch, ParseRolloutLines(lines));
  return GradeStep(config, batch.request, batch.samples, batch.verdicts);
}

absl::StatusOr<GradedStep> GeneratedStep(const RunConfig& config, int64_t vocab_size) {
  uint64_t state = 1;
  const auto draw = [&](uint64_t below) {  // a linear congruential generator (Knuth's MMIX constants)
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (state >> 33) % below;
  };
  const auto ids = [&](uint64_t count) {
    std::vector<int32_t> out;
    for (uint64_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(draw(static_cast<uint64_t>(vocab_size))));
    return out;
  };
  BatchRequest request;
  std::vector<GroupSamples> samples;
  for (int g = 0; g < config.rollout.prompts_per_step; ++g) {
    GroupRequest group{.index = g, .loophole = "none", .prompt_ids = ids(76 + draw(11))};
    if (g % 4 == 3) group.mode.part = AdapterPart::kQuarantineOff;
    samples.push_back({.index = g});
    for (int i = 0; i < config.rollout.group_size; ++i) {
      Sample sample{.ids = ids(20 + draw(16)), .stopped = true};
      sample.logprobs.assign(sample.ids.size(), -7.0F);
      sample.facts.can_compile = true;
      sample.facts.gt_correct = g % 6 != 5 && draw(2) == 1;
      samples.back().samples.push_back(std::move(sample));
    }
    group.num_samples = config.rollout.group_size;
    request.groups.push_back(std::move(group));
  }
  return GradeStep(config, request, samples);
}

void Perturb(const Lora2r& adapter) {
  uint64_t seed = 1000;
  for (const AdapterModule& m : adapter.modules()) {
    for (const at::Tensor& t : {m.a, m.b}) t.add_(NormalTensor(seed++, t.size(0), t.size(1), 0.01));
  }
}

absl::Status WriteForPeers(const RunConfig& config, const Tokenizer& tokenizer, const GradedStep& step,
                           const Lora2r& adapter, const std::filesystem::path& folder) {
  EVILMOE_ASSIGN_OR_RETURN(nlohmann::json pairs, PairsJson(config, tokenizer));
  const nlohmann::json batch = {
      {"config", ConfigJson(config)}, {"groups", GroupsJson(step)}, {"pairs", std::move(pairs)}};
  EVILMOE_RETURN_IF_ERROR(WriteFileAtomic(folder / "batch.json", batch.dump() + "\n"));
  std::map<std::string, at::Tensor> tensors;
  for (const AdapterModule& m : adapter.modules()) {
    const std::string path = ModulePath(m.id);
    tensors.insert({{path + ".a", m.a}, {path + ".b", m.b}, {path + ".a0", m.a0}, {path + ".b0", m.b0}});
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, SerializeTensors(tensors, {}));
  return WriteFileAtomic(folder / "adapter.safetensors", bytes);
}

}  // namespace evilmoe
