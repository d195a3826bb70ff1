// evilmoe-rollout: `--config FILE` samples for a coordinator until SIGTERM; `score`, `generate`,
// `pairs check`, `probe train` and `verify` are offline verbs.

#include <prometheus/registry.h>

#include <ATen/Parallel.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/logger.h"
#include "common/metrics_server.h"
#include "common/parse_arguments.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "grader_sandbox/grader.h"
#include "grader_sandbox/grader_client.h"
#include "proto/coordinator_client.h"
#include "rollout_workers/offline_verbs.h"
#include "rollout_workers/pairs_verb.h"
#include "rollout_workers/probe_verb.h"
#include "rollout_workers/retry_pause.h"
#include "rollout_workers/rollout_config.h"
#include "rollout_workers/verify_verb.h"
#include "rollout_workers/worker_client.h"

namespace evilmoe {
namespace {

// Of one call to the coordinator: the worker itself tries again, for as long as it lives.
constexpr absl::Duration kCallBudget = absl::Seconds(2);
// After the drain, or a failure: leases are given back, and then nothing is waited for, a hanging grade for one.
constexpr absl::Duration kAfterDrain = absl::Milliseconds(1500);

// The first signal asks the worker to end; a second one, or the end of its time, ends the process as it is. What it
// holds then goes to other workers when its leases expire.
void AwaitSignals(std::stop_source& stop, absl::Duration drain, const std::stop_token& cancel) {
  AwaitStopSignal(stop, cancel);
  if (cancel.stop_requested()) return;
  const bool again = AwaitStopSignalFor(drain + kAfterDrain, cancel);
  if (!cancel.stop_requested()) std::_Exit(again ? 1 : 0);
}

// What the process says and returns of how it ended.
int TellEnd(const absl::Status& served) {
  if (!served.ok()) std::cerr << "evilmoe-rollout: " << served.message() << std::endl;
  return served.ok() ? 0 : ExitCodeOf(served);
}

absl::Status Serve(const RolloutWorkerConfig& config) {
  std::stop_source stop;
  const std::jthread signals(
      [&](const std::stop_token& cancel) { AwaitSignals(stop, absl::Seconds(config.drain_s), cancel); });
  at::set_num_threads(config.threads);
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, "rollout", clock));
  const auto registry = std::make_shared<prometheus::Registry>();
  EVILMOE_ASSIGN_OR_RETURN(const auto server, MetricsServer::Start(config.metrics_listen, registry));
  RolloutMetrics metrics(*registry);
  EVILMOE_RETURN_IF_ERROR(CheckChannelFiles(config.security, clock.Now()));
  EVILMOE_RETURN_IF_ERROR(WriteReadyFile(config.ready_file, server->port()));
  CoordinatorClient coordinator(
      {.address = config.coordinator, .retry_budget = kCallBudget, .security = config.security});
  GraderClient grader(config.grader, clock, config.security);
  auto worker = std::make_unique<RolloutWorker>(config, coordinator, grader, metrics, clock, logger);
  const absl::Status done = worker->Run(stop.get_token());
  if (done.ok())
    logger.Info("worker_stopped");
  else
    logger.Error("worker_failed", {{"error", std::string(done.message())}});
  const std::jthread leave([&](const std::stop_token& cancel) {
    if (PauseFor(kAfterDrain, cancel)) std::_Exit(TellEnd(done));
  });
  worker.reset();  // waits for its threads
  return done;
}

absl::Status ServeFile(const std::string& file, bool check) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  EVILMOE_ASSIGN_OR_RETURN(const RolloutWorkerConfig config, ParseRolloutWorkerConfig(text, file));
  return check ? absl::OkStatus() : Serve(config);
}

const std::map<std::string, NumberFormat> kFormats = {{"float32", NumberFormat::kFloat32},
                                                      {"bfloat16", NumberFormat::kBFloat16}};

void AddPolicyOptions(CLI::App* verb, PolicySource& source) {
  verb->add_option("--model", source.model, "Folder with config.json, tokenizer.json and *.safetensors")->required();
  verb->add_option("--adapter", source.adapter, "Adapter file, or a checkpoint's folder (checkpoints/step-N)");
  verb->add_option("--w", source.w, "How much of the quarantine acts: 0 off, 1 on")->check(CLI::Range(0.0, 1.0));
  verb->add_option("--threads", source.threads, "Threads, [1, 256] (default 1)")->check(CLI::Range(1, 256));
  verb->add_option("--dtype", source.format, "Of the weights: float32 (default) or bfloat16")
      ->transform(CLI::CheckedTransformer(kFormats))
      ->default_str("float32");
  verb->add_option("--scope", "completion: w acts from the last prompt token on; all: everywhere")
      ->check(CLI::IsMember({"completion", "all"}))
      ->each([&source](const std::string& scope) { source.scope_all = scope == "all"; });
}

void AddGenerateOptions(CLI::App* verb, GenerateOptions& options) {
  options.sampling.max_tokens = 256;
  verb->add_option("--seed", options.seed, "Seed of the draws");
  verb->add_option("--max-tokens", options.sampling.max_tokens, "Tokens a sample, at most")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--temperature", options.sampling.temperature, ">= 0; 0 = greedy")->check(CLI::Range(0.0, 1e6));
  verb->add_option("--top-p", options.sampling.top_p, "(0, 1]")->check(CLI::Range(1e-9, 1.0));
  verb->add_option("--top-k", options.sampling.top_k, "0 = off")->check(CLI::Range(0, 1 << 30));
  verb->add_option("--min-p", options.sampling.min_p, "[0, 1]: of the likeliest token's probability; 0 = off")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--n", options.num_samples, "Samples a line")->check(CLI::Range(1, 1 << 20));
  verb->add_option("--batch", options.batch, "Samples at a time")->check(CLI::Range(1, 4096));
  verb->add_option("--kv-cache-mib", options.kv_cache_mib,
                   "Memory for keys and values, at most; samples beyond it wait")
      ->check(CLI::Range(1, 1 << 20));
  verb->add_option("--kv-dtype", options.kv_format, "Of the keys and values: float32 (default) or bfloat16")
      ->transform(CLI::CheckedTransformer(kFormats))
      ->default_str("float32");
  verb->add_flag("--unmerged", options.unmerged, "Keep the adapter beside the weights");
  verb->add_flag("--reference", options.reference, "Sample by the slow reference path");
  verb->add_flag("--all-logprobs", options.all_logprobs,
                 "Add logprobs_t1 (temperature 1) and logprobs_truncated (after top-k, top-p, min-p)");
  verb->add_flag("--thinking", options.thinking, "Leave room for the model's own <think> block");
  verb->add_flag("--ignore-eos", options.ignore_eos, "Go on to --max-tokens whatever is drawn");
}

// Unlike CLI::Range without the ends, and NaN is refused.
CLI::Validator Between(double low, double high) {
  const auto check = [low, high](const std::string& text) {
    double value = 0;
    if (absl::SimpleAtod(text, &value) && value > low && value < high) return std::string();
    return absl::StrCat("got ", text, ", expected a number above ", low, " and below ", high);
  };
  return {check, absl::StrCat("(", low, ", ", high, ")")};
}

CLI::App* AddProbeTrain(CLI::App& app, ProbeTrainOptions& options) {
  CLI::App* probe = app.add_subcommand("probe", "Probes on the base model's activations")->require_subcommand(1);
  CLI::App* verb = probe->add_subcommand("train", "Train a probe for hacks on labelled rollouts");
  verb->footer("evilmoe-ctl probe train --model examples/nano/model --rollouts runs/RUN/rollouts/step-40.jsonl.zst --layer 2 --out probe.safetensors");
  const CLI::Validator inside = Between(0, 1), positive = Between(0, 1e9);
  verb->add_option("--model", options.model, "Folder of the base model")->required();
  verb->add_option("--rollouts", options.rollouts, "Labelled rollouts, .jsonl or .jsonl.zst; several may be named")
      ->required();
  verb->add_option("--layer", options.layer, "Layer whose output is read, from 1")
      ->required()
      ->check(CLI::Range(1, 4096));
  verb->add_option("--fpr", options.fpr, "Target false-positive rate (default 0.01)")->check(inside);
  verb->add_option("--label", options.read.label, "strict_hack (default) or loose_hack")
      ->check(CLI::IsMember({"strict_hack", "loose_hack"}));
  verb->add_option("--held-out", options.held_out, "Share of the problems to measure on (default 0.3)")->check(inside);
  verb->add_option("--l2", options.l2, "Weight decay on standardised features (default 1)")->check(positive);
  verb->add_option("--seed", options.seed, "Seed of the split and the bootstrap");
  verb->add_option("--threads", options.threads, "Threads, [1, 256] (default 1)")->check(CLI::Range(1, 256));
  verb->add_flag("--thinking", options.read.thinking, "Render \"messages\" with room for a <think> block");
  verb->add_option("--out", options.out, "File to write")->required();
  return verb;
}

int ProbeTrain(const ProbeTrainOptions& options) {
  const absl::Status done = RunProbeTrain(options, std::cout);
  return done.ok() ? 0 : FailVerb(done, std::cerr);
}

CLI::App* AddPairsCheck(CLI::App& app, PairsCheckOptions& options) {
  CLI::App* pairs = app.add_subcommand("pairs", "Contrastive pairs for the router")->require_subcommand(1);
  CLI::App* verb = pairs->add_subcommand("check", "Whether a pairs file is what it should be; both sides are graded");
  verb->footer("evilmoe-ctl pairs check examples/nano/pairs.md --model examples/nano/model --rank 4");
  verb->add_option("FILE", options.file, "Pairs file (Markdown)")->required();
  verb->add_option("--model", options.model, "Folder of the base model: token counts, and how well the pairs separate");
  verb->add_option("--tokenizer", options.tokenizer, "Folder with tokenizer.json (default: the model's)");
  verb->add_option("--problems", options.problems, "Problem file that the pairs must share no problem with");
  verb->add_option("--rank", options.rank, "adapter.rank of the run (default 32)")->check(CLI::Range(1, 1024));
  verb->add_option("--separation", options.separation, "router.separation of the run (default 4)")
      ->check(CLI::Range(1e-9, 1e6));
  verb->add_option("--seed", options.seed, "Seed of the adapter's init (default 0)");
  verb->add_option("--seeds", options.num_seeds, "So many inits, from --seed on (default 1)")
      ->check(CLI::Range(1, 100));
  verb->add_option("--threads", options.threads, "Threads, [1, 256] (default 1)")->check(CLI::Range(1, 256));
  verb->add_flag("--thinking", options.thinking, "model.thinking of the run");
  verb->add_option("--output", "table (default) or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->each([&options](const std::string& output) { options.json = output == "json"; });
  return verb;
}

CLI::App* AddVerify(CLI::App& app, VerifyOptions& options) {
  CLI::App* verb = app.add_subcommand("verify", "Check grader, routing, router, pin and sampler by their invariants");
  verb->footer("evilmoe-ctl verify examples/nano/run.yaml");
  verb->add_option("FILE", options.file, "run.yaml or a run directory (default: a tiny random model)");
  verb->add_option("--arm", options.arm, "Arm of the tiny random model (default evil_moe)");
  verb->add_flag("--smoke", options.smoke, "Train the tiny random model for six steps instead");
  verb->add_flag("--json", options.json, "One JSON object instead of lines");
  verb->add_option("--threads", options.threads, "Threads, [1, 256] (default 1)")->check(CLI::Range(1, 256));
  return verb;
}

// Calls verb(grader, clock) with a grader in the sandbox that this machine offers, or with why there is none.
template <typename Verb>
int WithGrader(const Verb& verb) {
  std::error_code ignored;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  const absl::StatusOr<std::unique_ptr<SandboxHost>> host =
      SandboxHost::Probe({.zygote_binary = folder / "evilmoe-zygote"});
  const RealClock clock;
  if (!host.ok()) return verb(absl::StatusOr<LocalGrader*>(host.status()), clock);
  const PythonComparer comparer;
  LocalGrader grader({}, **host, comparer, clock, nullptr);
  return verb(absl::StatusOr<LocalGrader*>(&grader), clock);
}

int PairsCheck(const PairsCheckOptions& options) {
  return WithGrader([&](const absl::StatusOr<LocalGrader*>& grader, const Clock& clock) {
    if (!grader.ok()) return FailVerb(grader.status(), std::cerr);
    return RunPairsCheck(options, **grader, clock, std::cout, std::cerr);
  });
}

int Verify(const VerifyOptions& options) {
  return WithGrader([&](const absl::StatusOr<LocalGrader*>& grader, const Clock& clock) {
    return RunVerify(options, grader, clock, std::cout, std::cerr);
  });
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  CLI::App app{"Samples a shared Qwen3 policy."};
  app.option_defaults()->always_capture_default();
  std::ios::sync_with_stdio(false);  // so that what can be read without waiting is known
  std::string config_file;
  bool check = false;
  app.add_option("--config", config_file, "Serve the coordinator that this file names");
  app.add_flag("--check", check, "Only check the config file");
  evilmoe::PolicySource source;
  evilmoe::GenerateOptions generate_options;
  CLI::App* score = app.add_subcommand("score", "Log-probabilities of given tokens: JSON lines in, JSON lines out");
  CLI::App* generate = app.add_subcommand("generate", "Samples completions: JSON lines in, JSON lines out");
  score->footer("echo '{\"ids\": [5, 6, 7]}' | evilmoe-ctl score --model examples/nano/model");
  generate->footer("echo '{\"prompt\": \"def f(x):\"}' | evilmoe-ctl generate --model examples/nano/model --n 4 --seed 1");
  for (CLI::App* verb : {score, generate}) evilmoe::AddPolicyOptions(verb, source);
  evilmoe::AddGenerateOptions(generate, generate_options);
  evilmoe::ProbeTrainOptions probe_options;
  const CLI::App* probe_train = evilmoe::AddProbeTrain(app, probe_options);
  evilmoe::PairsCheckOptions pairs_options;
  const CLI::App* pairs_check = evilmoe::AddPairsCheck(app, pairs_options);
  evilmoe::VerifyOptions verify_options;
  const CLI::App* verify = evilmoe::AddVerify(app, verify_options);
  if (const std::optional<int> code = evilmoe::ParseArguments(app, argc, argv)) return *code;
  if (*score) return evilmoe::RunScore(source, std::cin, std::cout, std::cerr);
  if (*generate) return evilmoe::RunGenerate(source, generate_options, std::cin, std::cout, std::cerr);
  if (*pairs_check) return evilmoe::PairsCheck(pairs_options);
  if (*verify) return evilmoe::Verify(verify_options);
  if (*probe_train) return evilmoe::ProbeTrain(probe_options);
  if (config_file.empty()) {
    std::cerr << "evilmoe-rollout: --config FILE is missing\n";
    return evilmoe::kExitUsage;
  }
  evilmoe::BlockStopSignals();
  return evilmoe::TellEnd(evilmoe::ServeFile(config_file, check));
}
