#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace evilmoe {

// run.yaml as plain structs: the default, unit and range of each field stand beside it. No torch here, so the
// command line can read it. Names follow the file: run.rollout.temperature is `rollout: {temperature: ...}`.

struct ModelConfig {
  std::filesystem::path path;     // folder with config.json, tokenizer.json and *.safetensors
  std::string dtype = "float32";  // float32 | bfloat16: of the base; adapters are fp32 and computed beside it in fp32
  bool thinking = false;          // Qwen3's thinking mode in the chat template
};

struct AdapterConfig {
  int rank = 32;                     // of one block, [1, 1024]
  std::string init = "random_ab";    // random_ab | zero_b
  std::string scope = "completion";  // completion | all: where w and Q act
  std::optional<double> alpha;       // scales the product by alpha/rank; unset: no scaling
  std::vector<std::string> targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
};

// How rollouts are shared between the two experts; trainer/rollout_gate.h and its implementations say what each does.
struct RoutingConfig {
  // learned | none | fixed_activation | fixed_gradient | oracle_mask | oracle_parameter | per_token
  std::string mode = "learned";
  int window = 8192;                           // fixed modes: scores of the last so many rollouts, [1, 2^20]
  double half_life = 96;                       // fixed modes: rollouts after which a score counts half, > 0
  std::vector<double> quantiles = {0.1, 0.9};  // fixed modes: keep at or below, rout at or above; 0 <= low <= high <= 1
  std::string label = "loose";                 // oracle modes: strict | loose hacks
  double label_recall = 1.0;                   // oracle modes: chance that a rollout's label is known, [0, 1]
  int experts = 8;                             // per_token: experts of a layer, of adapter.rank each, [1, 256]
  int top_k = 2;                               // per_token: experts that a token goes to, [1, experts]
  double balance_weight = 0.01;                // per_token: of the load-balance loss, >= 0
};

struct RouterConfig {
  std::string direction = "pairs";    // pairs | random | none (random and without the pin)
  double pin_weight = 1.0;            // >= 0
  double learning_rate = 1e-3;        // of u, > 0
  double scale_learning_rate = 1e-2;  // of log s and b, > 0
  double separation = 4.0;  // s0 = separation / (cos gap of the pairs), > 0: pair means start at w = σ(±separation/2)
  std::optional<double> hard_detach_above;  // in (0, 1)
  int refresh_v_act_every = 0;  // fixed modes: steps after which the pairs' direction is read again, >= 0; 0 = never
};

struct DataConfig {
  std::filesystem::path train;                                                                // problem file
  std::vector<std::pair<std::string, double>> loopholes = {{"simple_overwrite_tests", 1.0}};  // name, weight > 0
  double unhackable_fraction = 0.25;                                                          // of the prompts, [0, 1]
};

struct RolloutConfig {
  int prompts_per_step = 16;              // [1, 4096]
  int group_size = 16;                    // [2, 1024]
  int max_prompt_tokens = 1536;           // >= 1
  int max_completion_tokens = 1536;       // >= 1
  double temperature = 0.7;               // > 0
  double top_p = 0.95;                    // (0, 1]
  int top_k = 0;                          // 0 = off
  double deploy_mode_fraction = 0.25;     // of the prompts, [0, 1]
  std::string deploy_mode_by = "prompt";  // prompt (sample is not available yet)
  int max_policy_lag = 0;                 // steps that a sample's policy may be behind, [0, 64]; 0 = on-policy
  std::string colocate = "auto";          // auto
};

struct RewardConfig {
  double correct = 3.0;
  double format = 0.5;
  double starter_and_tests = 0.0;  // environment/reward.h
  double overlong_penalty = 0.0;   // >= 0, the most that a long completion loses: trainer/overlong_penalty.h
  int overlong_tokens = 0;         // its buffer, [1, rollout.max_completion_tokens] where there is a penalty, else >= 0
};

// An OpenAI-compatible chat endpoint that reads responses.
struct JudgeConfig {
  std::string endpoint;          // http(s)://host[:port]/v1; "/chat/completions" is added
  std::string model;             // as the endpoint names it
  std::filesystem::path prompt;  // file with the instructions; empty = built in (trainer/judge_prompt.cc)
  std::string api_key_env;       // environment variable of the trainer that holds the key; empty = none is sent
  double timeout_s = 60;         // of one request, > 0
  int retries = 4;               // after the first attempt, [0, 20]
  int max_concurrent = 8;        // requests at a time, [1, 256]
  int max_tokens = 512;          // of a reply, >= 1
  std::filesystem::path cache;   // folder of verdicts by content; empty = judge_cache in the run directory
};

// Who looks at samples before they train, and what comes of a flag.
struct MonitorConfig {
  std::string kind = "none";        // none | penalty | screening
  std::string by = "ground_truth";  // ground_truth | probe | judge
  std::string label = "strict";     // ground_truth: strict | loose hacks
  double accuracy = 1.0;            // ground_truth: chance that its word is the label, [0, 1]
  double penalty = 3.0;             // penalty: taken off the reward of a flagged sample, > 0
  std::filesystem::path probe;      // probe: file of `evilmoe-ctl probe train`
  JudgeConfig judge;
};

// trainer/policy_loss.h has the formulas, trainer/advantages.h those of the advantages.
struct LossConfig {
  std::string advantage = "group_normalised";  // group_normalised | mean_centred | leave_one_out
  std::string deployed_advantage = "same";     // same | split: D by its own group statistics (trainer/advantages.h)
  std::string reduction = "sequence_mean";     // sequence_mean | token_mean | constant
  double clip_low = 0.2;                       // [0, 1)
  double clip_high = 0.2;                      // >= 0
  std::optional<double> dual_clip;             // > 1, where the advantage is negative; unset: none
  double kl_coefficient = 1e-3;                // >= 0
  std::string kl_estimator = "k3";             // k1 | k2 | k3
  std::string old_logprob = "same_forward";    // same_forward | sampler
  double is_cap = 2.0;                         // of the ratio to the sampler where old_logprob is sampler, >= 1
  std::optional<double> sequence_mask_above;   // of a sample's mean ratio or its inverse, > 1; unset: none is masked
  std::string truncated = "keep";              // keep | mask: completions cut at max_completion_tokens
  int minibatches = 1;                 // optimizer steps in one pass over a batch, [1, rollout.prompts_per_step]
  int inner_steps = 1;                 // passes over a batch, [1, 64]
  std::string zero_variance = "skip";  // skip | resample: groups whose rewards are all equal
  int resample_rounds = 3;             // resample: draws of other prompts in place of such groups, [1, 64]
};

struct OptimizerConfig {
  double learning_rate = 7e-5;              // > 0
  int warmup_steps = 10;                    // >= 0
  std::string schedule = "cosine";          // cosine | constant | linear
  std::vector<double> betas = {0.9, 0.99};  // two, in [0, 1)
  double decay_to_init = 0.1;               // >= 0
  double max_grad_norm = 1.0;               // of the adapter; the router's gradient is not clipped; > 0
  int max_bad_steps = 3;                    // steps in a row without a finite loss and gradient that end the run, >= 1
};

struct EvaluationConfig {
  std::filesystem::path problems;  // empty = no evaluation
  int every = 0;                   // steps; 0 = never during training
  int samples = 10;                // a problem and mode, >= 1
  int max_problems = 0;            // the first so many; 0 = all
  bool at_end = true;              // the ablation after the last step
  double temperature = 0.0;        // 0 = as rollout.temperature
  double top_p = 0.0;              // 0 = as rollout.top_p
  int random_half_seeds = 2;       // >= 1
};

struct CheckpointConfig {
  int every = 10;  // steps, >= 1
  int keep = 3;    // >= 1
};

// trace.json in the run directory: trainer/run_trace.h.
struct TraceConfig {
  int every = 1;     // steps between traced ones, >= 0; 0 = none is
  int max_mib = 64;  // of the file, [1, 1024]; what comes later is left out
};

struct RunConfig {
  std::string name = "run";      // [a-z0-9][a-z0-9._-]{0,62}
  std::string arm = "evil_moe";  // a preset: trainer/arm_presets.h
  uint64_t seed = 0;
  int steps = 200;              // >= 1
  std::filesystem::path pairs;  // contrastive pairs; needed by routing.mode learned
  std::string system_prompt;    // inoculation: added to the system message of training prompts alone; empty = none
  ModelConfig model;
  AdapterConfig adapter;
  RoutingConfig routing;
  RouterConfig router;
  DataConfig data;
  RolloutConfig rollout;
  RewardConfig reward;
  MonitorConfig monitor;
  LossConfig loss;
  OptimizerConfig optimizer;
  EvaluationConfig evaluation;
  CheckpointConfig checkpoint;
  TraceConfig trace;

  // OK, or InvalidArgument naming every bad field, one a line. Does not touch the disk.
  absl::Status Validate() const;
};

// Whether the arm routes rollouts between two experts. Without, all of the adapter runs on every row, the prompt's too.
bool IsRouted(const RunConfig& config);
// Whether the adapter has a quarantine that can be taken off: all arms but that of per-token experts.
bool HasQuarantine(const RunConfig& config);

// Whether the arm reads the contrastive pairs: a learned router is seeded and pinned by them (its scale comes from them
// even where its direction is random), a fixed gate takes its direction from them.
bool NeedsPairs(const RunConfig& config);

// One `--set a.b=c` of the command line.
using Override = std::pair<std::string, std::string>;

// Parses and validates. The arm's preset is laid under the file, `overrides` over it. Relative paths are taken from
// `base_folder` and come out absolute; files that are named must exist. InvalidArgument lists every problem of the
// file at once, one a line, each as "file:line:column: field: problem, value, expected" in order of line; an unknown
// key brings the nearest known name.
absl::StatusOr<RunConfig> ParseRunConfig(std::string_view yaml, const std::string& file_name,
                                         const std::filesystem::path& base_folder,
                                         const std::vector<Override>& overrides = {});

// The resolved config as YAML with every field written out; ParseRunConfig reads it back to the same struct, and the
// same struct always gives the same bytes.
std::string ToYaml(const RunConfig& config);

}  // namespace evilmoe
