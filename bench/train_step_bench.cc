// One GRPO + pin step of training on one batch, several times over, as JSON: what bench/run_train_step sets beside
// PyTorch. Sampling and grading take no part.
//
//   train_step_bench --config run.yaml [--set field=value] [--rollouts step-N.jsonl.zst] [--adapter
//   adapter.safetensors]
//                    [--threads 1] [--steps 5] [--write FOLDER]
//
// Without --rollouts the batch is a generated one of nano's lengths, without --adapter the adapter is a bit off its
// init. The router is seeded from the pairs at the adapter's init. --write also leaves batch and adapter as they were
// before the first step, for the peers.

#include <ATen/ATen.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "bench/train_batch.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/fused/kernels.h"
#include "policy/memory_watch.h"
#include "trainer/step_memory.h"
#include "trainer/training_model.h"

namespace evilmoe {
namespace {

struct BenchOptions {
  std::filesystem::path config, rollouts, adapter, write;
  std::vector<std::string> set;
  int threads = 1, steps = 5;
};

absl::StatusOr<RunConfig> LoadConfig(const BenchOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string yaml, ReadFile(options.config));
  std::vector<Override> overrides;
  for (const std::string& one : options.set) {
    const size_t equals = one.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--set ", one, ": no '=', expected field=value"));
    }
    overrides.emplace_back(one.substr(0, equals), one.substr(equals + 1));
  }
  return ParseRunConfig(yaml, options.config.string(), std::filesystem::absolute(options.config).parent_path(),
                        overrides);
}

absl::Status MoveAdapter(const BenchOptions& options, const TrainingModel& model) {
  if (options.adapter.empty()) {
    Perturb(*model.adapter().two_experts());
    return absl::OkStatus();
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(options.adapter));
  EVILMOE_ASSIGN_OR_RETURN(const Lora2r loaded, Lora2r::Deserialize(model.base().config, bytes));
  if (loaded.init_sha256() != model.adapter().two_experts()->init_sha256()) {
    return absl::InvalidArgumentError(absl::StrCat(options.adapter.string(), ": the init is not that of ",
                                                   options.config.string(), ", expected an adapter of such a run"));
  }
  for (size_t m = 0; m < loaded.modules().size(); ++m) {
    model.adapter().two_experts()->modules()[m].a.copy_(loaded.modules()[m].a);
    model.adapter().two_experts()->modules()[m].b.copy_(loaded.modules()[m].b);
  }
  return absl::OkStatus();
}

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

int64_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * int64_t{1024};
}

// Flops a CPU second of the training pass's own product over the maps of one layer, with as many rows as a part has.
double GemmRate(const Qwen3Config& config) {
  double best = 0;
  for (int repeat = 0; repeat < 20; ++repeat) {
    double flops = 0, seconds = 0;
    for (int linear = 0; linear < kNumLinears; ++linear) {
      const auto [out, in] = LinearShape(config, static_cast<Linear>(linear));
      const std::vector<float> x(static_cast<size_t>(kPartRows * in), 0.5F), w(static_cast<size_t>(in * out), 0.25F);
      std::vector<float> y(static_cast<size_t>(kPartRows * out));
      const double start = CpuSeconds();
      BestFusedKernels().matmul({.rows = kPartRows,
                                 .depth = in,
                                 .columns = out,
                                 .x = x.data(),
                                 .x_row = in,
                                 .w = w.data(),
                                 .w_panel = kFusedPanel * in,
                                 .w_depth = kFusedPanel,
                                 .y = y.data(),
                                 .y_row = out});
      seconds += CpuSeconds() - start;
      flops += 2.0 * static_cast<double>(kPartRows * in * out);
    }
    best = std::max(best, flops / seconds);
  }
  return best;
}

// Packed rows of the largest part of the step.
int64_t LargestPart(const std::vector<TrainGroup>& groups, const TrainedAdapter& adapter) {
  int64_t rows = 0;
  for (const ShardPart& part : SplitGroups(groups, adapter, {}, {}).front().Parts()) rows = std::max(rows, part.rows);
  return rows;
}

// Peak of the tensors of one more step, on one thread, and what trainer/step_memory.h says of it.
absl::StatusOr<nlohmann::json> Memory(const RunConfig& config, const GradedStep& batch, TrainingModel& model) {
  const MemoryWatch watch;
  const Lora2rOptions& options = model.adapter().two_experts()->options();
  EVILMOE_ASSIGN_OR_RETURN(const TrainingModel::Update update, model.Step(config.steps - 1, batch.groups));
  return nlohmann::json{{"peak_bytes", watch.peak_bytes()},
                        {"largest_bytes", watch.largest_bytes()},
                        {"formula_bytes", StepPeakBytes(model.base().config,
                                                        {.rank = options.rank,
                                                         .random_ab = options.random_ab,
                                                         .num_targets = std::ssize(options.targets)},
                                                        LargestPart(batch.groups, model.adapter()))}};
}

absl::StatusOr<nlohmann::json> Run(const BenchOptions& options) {
  EVILMOE_ASSIGN_OR_RETURN(const RunConfig config, LoadConfig(options));
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<TrainingModel> model, TrainingModel::Load(config, options.threads));
  const int64_t vocab_size = model->base().config.vocab_size;
  EVILMOE_ASSIGN_OR_RETURN(const GradedStep batch, options.rollouts.empty() ? GeneratedStep(config, vocab_size)
                                                                            : RecordedStep(config, options.rollouts));
  if (model->adapter().two_experts() == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("arm ", config.arm, ": expected one with two experts"));
  }
  EVILMOE_RETURN_IF_ERROR(MoveAdapter(options, *model));
  if (!options.write.empty()) {
    EVILMOE_RETURN_IF_ERROR(
        WriteForPeers(config, model->tokenizer(), batch, *model->adapter().two_experts(), options.write));
  }
  const int64_t rss_before = PeakBytes();
  nlohmann::json steps = nlohmann::json::array();
  for (int i = 0; i < options.steps; ++i) {
    const double cpu = CpuSeconds();
    const auto wall = std::chrono::steady_clock::now();
    EVILMOE_ASSIGN_OR_RETURN(const TrainingModel::Update update,
                             model->Step(config.optimizer.warmup_steps + i, batch.groups));
    if (update.dropped) return absl::InternalError(absl::StrCat("step ", i, ": a loss or gradient is not finite"));
    const StepStats& stats = update.stats;
    steps.push_back({{"cpu_s", CpuSeconds() - cpu},
                     {"wall_s", std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count()},
                     {"loss", stats.loss},
                     {"grad_norm", update.grad_norm},
                     {"q_mass", update.q_mass},
                     {"pin_loss", stats.pin_loss},
                     {"pair_separation", stats.pair_separation},
                     {"logp_difference_max", stats.logp_difference_max},
                     {"tokens", stats.tokens}});
  }
  nlohmann::json memory;
  if (options.threads == 1) {
    EVILMOE_ASSIGN_OR_RETURN(memory, Memory(config, batch, *model));
  }
  return nlohmann::json{{"threads", options.threads},
                        {"steps", std::move(steps)},
                        {"tensors", std::move(memory)},
                        {"kernels", BestFusedKernels().name},
                        {"gemm_flops_per_s", GemmRate(model->base().config)},
                        {"rss_before_bytes", rss_before},
                        {"peak_rss_bytes", PeakBytes()}};
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  CLI::App app{"Times one training step on one batch."};
  evilmoe::BenchOptions options;
  app.add_option("--config", options.config, "run.yaml")->required();
  app.add_option("--set", options.set, "Override one field: --set adapter.rank=8");
  app.add_option("--rollouts", options.rollouts, "rollouts/step-N.jsonl.zst of a run");
  app.add_option("--adapter", options.adapter, "Of a checkpoint of that run");
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 256));
  app.add_option("--steps", options.steps)->check(CLI::Range(1, 1000));
  app.add_option("--write", options.write, "Folder for the peers' inputs")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  const absl::StatusOr<nlohmann::json> result = evilmoe::Run(options);
  if (!result.ok()) {
    std::cerr << "train_step_bench: " << result.status().message() << "\n";
    return 1;
  }
  std::cout << result->dump() << "\n";
  return 0;
}
