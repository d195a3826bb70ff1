// evilmoe-trainer: `--config FILE` serves the coordinator's jobs until SIGTERM; `pretrain FILE` makes a small model,
// `export` an adapter for other programs, `replay` does a step of a run again.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <thread>

#include "CLI/CLI.hpp"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/parse_arguments.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "proto/coordinator_client.h"
#include "trainer/device_report.h"
#include "trainer/export_verb.h"
#include "trainer/pretrain.h"
#include "trainer/replay_verb.h"
#include "trainer/serve.h"

namespace evilmoe {
namespace {

absl::Status RunPretrain(const std::string& file) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  EVILMOE_ASSIGN_OR_RETURN(const PretrainConfig config, ParsePretrainConfig(text, file, folder));
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto report = [&](const PretrainProgress& p) {
    if (p.step % (terminal ? 10 : 100) != 0 && p.step != config.steps) return;
    std::fprintf(stderr, "%sstep %d of %d  loss %.4f  %.0f tokens/s%s%s", terminal ? "\r" : "", p.step, config.steps,
                 p.loss, p.tokens_per_second, p.skipped > 0 ? "  (long sequences skipped)" : "",
                 terminal && p.step != config.steps ? "" : "\n");
  };
  EVILMOE_RETURN_IF_ERROR(Pretrain(config, report));
  std::cout << "wrote " << (config.out / "model.safetensors").string() << "\n";
  return absl::OkStatus();
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "evilmoe-trainer: " << status.message() << "\n";
  return ExitCodeOf(status);
}

CLI::App* AddExport(CLI::App& app, ExportOptions& options) {
  static const std::map<std::string, ExportBlock> kBlocks = {{"deployed", ExportBlock::kDeployed},
                                                             {"full", ExportBlock::kFull}};
  CLI::App* verb = app.add_subcommand("export", "Write an adapter for Hugging Face peft or transformers");
  verb->add_option("SOURCE", options.source, "Run directory, checkpoint folder or adapter file")->required();
  verb->add_option("--format", options.format, "peft (default), merged or safetensors");
  verb->add_option("--block", options.block, "deployed (default: without the quarantine) or full")
      ->transform(CLI::CheckedTransformer(kBlocks))
      ->default_str("deployed");
  verb->add_option("--w", options.w, "Full block: how much of the quarantine acts, [0, 1] (default 1)");
  verb->add_option("--checkpoint", options.checkpoint, "Step of a run's checkpoint; default: the last");
  verb->add_option("--model", options.model, "Folder of the base; default: the one of the run's config");
  verb->add_option("--out", options.out, "Folder to write")->required();
  verb->add_flag("--force", options.force, "Replace an earlier export");
  return verb;
}

int Export(const ExportOptions& options) {
  const absl::Status done = RunExport(options, std::cout);
  if (!done.ok()) std::cerr << "evilmoe-trainer: " << done.message() << "\n";
  return ExportExitCode(done);
}

CLI::App* AddReplay(CLI::App& app, ReplayOptions& options) {
  options.threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 256u));
  CLI::App* verb = app.add_subcommand("replay", "Do a step of a run again and compare it with what was recorded");
  verb->add_option("--run", options.run, "The run's directory")->required();
  verb->add_option("--step", options.step, "Step, from 1, as in metrics.jsonl")->required();
  verb->add_option("--threads", options.threads, "As many as the run's trainer had; default: this machine's cores")
      ->check(CLI::Range(1, 256));
  return verb;
}

int PrintReplay(const ReplayOptions& options) {
  const absl::StatusOr<bool> equal = RunReplay(options, std::cout);
  if (!equal.ok()) std::cerr << "evilmoe-trainer: " << equal.status().message() << "\n";
  return ReplayExitCode(equal);
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  CLI::App app{"Trains two-expert adapters and their router."};
  std::string config_file, pretrain_file;
  bool check = false;
  app.add_option("--config", config_file, "Serve the coordinator that this file names");
  app.add_flag("--check", check, "Only check the config file");
  evilmoe::RankPlace place;
  app.add_option("--rank", place.rank)->group("");
  app.add_option("--store-port", place.store_port)->group("");
  CLI::App* pretrain = app.add_subcommand("pretrain", "Train a small Qwen3 from nothing");
  pretrain->footer("evilmoe-ctl pretrain examples/nano/pretrain.yaml");
  pretrain->add_option("FILE", pretrain_file, "YAML file (see examples/nano/pretrain.yaml)")->required();
  evilmoe::ExportOptions export_options;
  const CLI::App* export_verb = evilmoe::AddExport(app, export_options);
  evilmoe::ReplayOptions replay_options;
  const CLI::App* replay_verb = evilmoe::AddReplay(app, replay_options);
  const CLI::App* devices = app.add_subcommand("devices", "Print what this build can compute on, as JSON");
  if (const std::optional<int> code = evilmoe::ParseArguments(app, argc, argv)) return *code;
  if (*devices) {
    std::cout << evilmoe::DeviceReport().dump() << "\n";
    return evilmoe::kExitOk;
  }
  if (*replay_verb) return evilmoe::PrintReplay(replay_options);
  if (*export_verb) return evilmoe::Export(export_options);
  if (*pretrain) return evilmoe::ExitCode(evilmoe::RunPretrain(pretrain_file));
  if (config_file.empty()) return evilmoe::ExitCode(absl::InvalidArgumentError("--config FILE is missing"));
  evilmoe::BlockStopSignals();
  return evilmoe::ExitCode(evilmoe::ServeFile(config_file, check, place));
}
