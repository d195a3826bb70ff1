// A training step with a network of Qwen3-4B's shape and random weights on one GPU: tokens a second, and their share of
// what the GPU could do by its flops.
//
//   train_step_gpu_bench [--layers 36] [--groups 2] [--samples 4] [--prompt 256] [--completion 512] [--steps 3]
//                        [--device cuda] [--peak-tflops 989]
//
// Prints JSON. --device cpu with a few layers shows that it runs.

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "CLI/CLI.hpp"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/qwen3_weights.h"
#include "trainer/policy_step.h"
#include "trainer/rollout_gate.h"
#include "trainer/trainer_device.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

struct BenchOptions {
  int layers = 36, groups = 2, samples = 4, prompt = 256, completion = 512, steps = 3;
  std::string device = "cuda";
  double peak_tflops = 989;  // dense bf16 of an H100 or H200 SXM, by NVIDIA's data sheet
};

Qwen3Config Shape(int layers) {
  Qwen3Config config;
  config.vocab_size = 151936;
  config.hidden_size = 2560;
  config.num_layers = layers;
  config.num_heads = 32;
  config.num_kv_heads = 8;
  config.head_dim = 128;
  config.intermediate_size = 9728;
  config.max_position_embeddings = 40960;
  config.rope_theta = 1e6;
  config.rms_norm_eps = 1e-6;
  config.tie_word_embeddings = true;
  return config;
}

// Zeros but for the norms: the time of a product does not depend on the numbers, and 4 B of them need not be drawn.
Qwen3Weights Weights(const Qwen3Config& config, c10::Device device) {
  const auto options = at::TensorOptions().dtype(at::kBFloat16).device(device);
  Qwen3Weights weights{.config = config};
  weights.embedding = at::full({config.vocab_size, config.hidden_size}, 0.01, options);
  weights.head = weights.embedding;
  weights.final_norm = at::ones({config.hidden_size}, options);
  for (int l = 0; l < config.num_layers; ++l) {
    LayerWeights layer{.input_norm = at::ones({config.hidden_size}, options),
                       .attention_norm = at::ones({config.hidden_size}, options),
                       .query_norm = at::ones({config.head_dim}, options),
                       .key_norm = at::ones({config.head_dim}, options)};
    for (int map = 0; map < kNumLinears; ++map) {
      const auto [out, in] = LinearShape(config, static_cast<Linear>(map));
      layer.linears[static_cast<size_t>(map)] = at::full({out, in}, 0.001, options);
    }
    weights.layers.push_back(std::move(layer));
  }
  return weights;
}

std::vector<int32_t> Ids(int count, int seed) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * 31 + seed * 7919) % 50000);
  return ids;
}

std::vector<TrainGroup> Groups(const BenchOptions& options) {
  std::vector<TrainGroup> groups;
  for (int g = 0; g < options.groups; ++g) {
    TrainGroup group{.prompt_ids = Ids(options.prompt, g)};
    for (int i = 0; i < options.samples; ++i) {
      TrainSample sample{.ids = Ids(options.completion, 100 + i), .advantage = i % 2 == 0 ? 1.0 : -1.0};
      sample.sampler_logprobs.assign(sample.ids.size(), -10.0f);
      group.samples.push_back(std::move(sample));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

int64_t NumWeights(const Qwen3Config& config) {
  int64_t count = config.vocab_size * config.hidden_size;
  for (int map = 0; map < kNumLinears; ++map) {
    const auto [out, in] = LinearShape(config, static_cast<Linear>(map));
    count += out * in * config.num_layers;
  }
  return count;
}

absl::StatusOr<nlohmann::json> Run(const BenchOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(const c10::Device device, TrainerDevice(options.device, 0));
  const Qwen3Weights base = Weights(Shape(options.layers), device);
  RunConfig config;
  config.routing.mode = "none";
  EVILMOE_ASSIGN_OR_RETURN(Lora2r adapter, Lora2r::Init(base.config, {.rank = 32, .targets = config.adapter.targets}));
  adapter.MoveTo(device);
  SingleRank alone(device);
  OpenGate gate;
  const TwoExpertAdapter trained(adapter);
  const PolicyStep step(config, base, trained, {}, 1, alone);
  const std::vector<TrainGroup> groups = Groups(options);
  std::vector<double> seconds;
  double tokens = 0;
  for (int i = 0; i <= options.steps; ++i) {
    StepGradients gradients;
    const auto start = std::chrono::steady_clock::now();
    EVILMOE_ASSIGN_OR_RETURN(const StepStats stats, step.Run(groups, gate, gradients));  // reads its loss: synchronised
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(took.count());  // the first one warms up
    tokens = static_cast<double>(stats.tokens);
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const double packed = static_cast<double>(options.groups) * (options.prompt + options.samples * options.completion);
  const auto weights = static_cast<double>(NumWeights(base.config));
  // Forward and the gradient of the inputs, 2 flops a weight and token each, and the base model's forward pass.
  const double flops = packed * weights * 2 * 3;
  return nlohmann::json{{"device", device.str()},
                        {"seconds", median},
                        {"packed_tokens", packed},
                        {"forwarded_tokens", tokens},
                        {"tokens_per_second", packed / median},
                        {"floor_seconds", flops / (options.peak_tflops * 1e12)},
                        {"share_of_floor", flops / (options.peak_tflops * 1e12) / median}};
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  evilmoe::BenchOptions options;
  CLI::App app{"A training step of Qwen3-4B's shape on one GPU."};
  app.add_option("--layers", options.layers, "Of 36")->check(CLI::Range(1, 36));
  app.add_option("--groups", options.groups, "Prompts")->check(CLI::PositiveNumber);
  app.add_option("--samples", options.samples, "Of each prompt")->check(CLI::PositiveNumber);
  app.add_option("--prompt", options.prompt, "Tokens")->check(CLI::PositiveNumber);
  app.add_option("--completion", options.completion, "Tokens")->check(CLI::PositiveNumber);
  app.add_option("--steps", options.steps, "After one to warm up")->check(CLI::PositiveNumber);
  app.add_option("--device", options.device, "auto, cpu or cuda (default)");
  app.add_option("--peak-tflops", options.peak_tflops, "Dense bf16 of the GPU")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const absl::StatusOr<nlohmann::json> result = evilmoe::Run(options);
  if (!result.ok()) {
    std::cerr << "train_step_gpu_bench: " << result.status().message() << "\n";
    return 1;
  }
  std::cout << result->dump() << "\n";
  return 0;
}
