// evilmoe-grader: `--config FILE` serves grades until SIGTERM; `grade`, `sandbox run` and `sandbox check` are offline.

#include <prometheus/registry.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <functional>
#include <iostream>
#include <optional>
#include <span>
#include <thread>

#include "common/clock.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/logger.h"
#include "common/metrics_server.h"
#include "common/parse_arguments.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "grader_sandbox/grader_config.h"
#include "grader_sandbox/grader_metrics.h"
#include "grader_sandbox/grader_service.h"
#include "grader_sandbox/held_setups.h"
#include "grader_sandbox/offline_verbs.h"
#include "grader_sandbox/self_check.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kSelfCheckTimeout = absl::Minutes(2);

int NumCores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

std::filesystem::path ZygoteBeside() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "evilmoe-zygote";
}

SandboxHost::Options HostOptionsOf(const GraderConfig& config, std::span<const Problem> problems) {
  const absl::StatusOr<Tier> tier = ParseTier(config.tier);  // "auto" is none
  return {.zygote_binary = config.zygote.empty() ? ZygoteBeside() : config.zygote,
          .tier = tier.ok() ? std::optional(*tier) : std::nullopt,
          .minimum_tier = ParseTier(config.minimum_tier).value(),
          .use_cgroups = config.use_cgroups,
          .setups = SetupsToHold(problems)};
}

LocalGraderOptions OptionsOf(const GraderConfig& config) {
  return {.slots = config.slots == 0 ? NumCores() : config.slots,
          .queue_limit = config.queue_limit,
          .cpu_limit = absl::Seconds(config.cpu_limit_s)};
}

absl::Status AwaitStop() {
  std::stop_source stop;
  AwaitStopSignal(stop, std::stop_token());
  return absl::OkStatus();
}

void LogHost(Logger& logger, const SandboxHost& host) {
  for (const std::string& note : host.notes()) logger.Warn("sandbox_is_less_than_it_could_be", {{"why", note}});
  logger.Info("sandbox", {{"tier", TierName(host.tier())},
                          {"cgroup", host.cgroup()},
                          {"landlock_version", host.landlock_version()},
                          {"own_users", host.own_users()}});
}

// A grader that fails does not serve at all, and whoever watches it starts it again: metrics are served while it checks
// too, so that a scrape sees that the sandbox is not known to be good.
absl::Status CheckAtStart(const GraderConfig& config, LocalGrader& grader,
                          const std::shared_ptr<prometheus::Registry>& registry, const Clock& clock, Logger& logger) {
  const auto unchecked = [] { return absl::UnavailableError("the self-check is not done"); };
  EVILMOE_ASSIGN_OR_RETURN(const auto meanwhile, MetricsServer::Start(config.metrics_listen, registry, unchecked));
  const absl::Status checked = CheckSandbox(grader, clock.Now() + kSelfCheckTimeout);
  if (!checked.ok()) logger.Error("self_check_failed", {{"error", std::string(checked.message())}});
  return checked;
}

absl::Status Serve(const GraderConfig& config) {
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, "grader", clock));
  const auto registry = std::make_shared<prometheus::Registry>();
  GraderMetrics metrics(*registry);
  CallGuardMetrics refusals(*registry, "grader");
  const PythonComparer comparer;
  std::vector<Problem> problems;
  if (!config.problems.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(problems, LoadProblems(config.problems));
  }
  const absl::StatusOr<std::unique_ptr<SandboxHost>> host = SandboxHost::Probe(HostOptionsOf(config, problems));
  if (!host.ok()) logger.Error("sandbox_refused", {{"error", std::string(host.status().message())}});
  EVILMOE_RETURN_IF_ERROR(host.status());
  LogHost(logger, **host);
  const LocalGraderOptions options = OptionsOf(config);
  LocalGrader grader(options, **host, comparer, clock, &metrics);
  EVILMOE_RETURN_IF_ERROR(CheckAtStart(config, grader, registry, clock, logger));
  const auto on_check = [&metrics](bool ok) { metrics.self_check_ok.Set(ok ? 1 : 0); };
  on_check(true);
  EVILMOE_ASSIGN_OR_RETURN(const auto listening,
                           ListeningGrader::Start(config.listen, grader, clock, &logger, &refusals, on_check));
  const auto health = [&listening] {
    return listening->healthy() ? absl::OkStatus() : absl::UnavailableError("stopping, or the self-check failed");
  };
  EVILMOE_ASSIGN_OR_RETURN(const auto metrics_server, MetricsServer::Start(config.metrics_listen, registry, health));
  logger.Info("serving", {{"listen", config.listen.addresses}, {"slots", options.slots}, {"tier", TierName((*host)->tier())}});
  EVILMOE_RETURN_IF_ERROR(WriteReadyFile(config.ready_file, metrics_server->port(), listening->ports()));
  EVILMOE_RETURN_IF_ERROR(AwaitStop());
  logger.Info("draining", {{"grace_s", config.drain_s}});
  listening->Drain(absl::Seconds(config.drain_s));
  logger.Info("stopping");
  return absl::OkStatus();
}

absl::Status ServeFile(const std::string& file, bool check) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  EVILMOE_ASSIGN_OR_RETURN(const GraderConfig config, ParseGraderConfig(text, file));
  return check ? absl::OkStatus() : Serve(config);
}

void AddTierOption(CLI::App* verb, std::string& tier) {
  verb->add_option("--tier", tier, "A, B or C (docs/sandbox.md); else the best that this machine offers")
      ->check(CLI::IsMember({"A", "B", "C"}));
}

CLI::App* AddSandboxCheck(CLI::App* sandbox, std::string& tier, std::string& output) {
  CLI::App* check = sandbox->add_subcommand("check", "Say what sandbox this machine offers, and attack it");
  check->footer("evilmoe-ctl sandbox check");
  AddTierOption(check, tier);
  check->add_option("--output", output, "table (default) or json")->check(CLI::IsMember({"table", "json"}));
  return check;
}

void AddSandboxRun(CLI::App* sandbox, SandboxRunOptions& options, std::string& tier) {
  CLI::App* run = sandbox->add_subcommand("run", "Run one call of a Python file and print its verdict");
  run->footer("evilmoe-ctl sandbox run solution.py --call 'Solution().f' --kwargs '{\"x\": 1}' --expect 2");
  run->add_option("FILE", options.file, "Python source")->required();
  run->add_option("--call", options.call, "Solution().name")->required();
  run->add_option("--kwargs", options.kwargs, "Named arguments, a JSON object");
  run->add_option("--expect", options.expect, "Expected value, JSON")->required();
  run->add_option("--setup", options.setup, "Python source that runs first");
  run->add_option("--cpu-limit", options.cpu_limit_s, "Seconds")->check(CLI::Range(0.1, 300.0));
  AddTierOption(run, tier);
}

int Exit(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << "evilmoe-grader: " << status.message() << "\n";
  return ExitCodeOf(status);
}

// A verb that needs no service, with the sandbox that this machine offers.
int RunOffline(const std::string& tier, std::span<const Problem> problems,
               const std::function<int(LocalGrader&, const Clock&)>& verb) {
  const RealClock clock;
  const PythonComparer comparer;
  const GraderConfig config{.tier = tier.empty() ? "auto" : tier};
  const absl::StatusOr<std::unique_ptr<SandboxHost>> host = SandboxHost::Probe(HostOptionsOf(config, problems));
  if (!host.ok()) return Exit(host.status());
  LocalGraderOptions options = OptionsOf(config);
  LocalGrader grader(options, **host, comparer, clock, nullptr);
  return verb(grader, clock);
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  using namespace evilmoe;
  CLI::App app{"Runs untrusted solutions and says what is true of them."};
  app.option_defaults()->always_capture_default();
  std::string config_file, problem_file;
  bool check = false;
  app.add_option("--config", config_file, "Serve grades as this file says");
  app.add_flag("--check", check, "Only check the config file");
  CLI::App* grade = app.add_subcommand("grade", "Grade responses: JSON lines in, JSON lines out");
  grade->footer("evilmoe-ctl grade --problems examples/nano/test.jsonl < answers.jsonl");
  grade->add_option("--problems", problem_file, "Problem file (JSONL)")->required();
  SandboxRunOptions run;
  std::string tier, output;
  CLI::App* sandbox = app.add_subcommand("sandbox", "Use the sandbox by hand")->require_subcommand(1);
  AddSandboxRun(sandbox, run, tier);
  const CLI::App* check_sandbox = AddSandboxCheck(sandbox, tier, output);
  if (const std::optional<int> code = ParseArguments(app, argc, argv)) return *code;
  if (app.get_subcommands().empty()) {
    if (config_file.empty()) return Exit(absl::InvalidArgumentError("--config FILE is missing"));
    BlockStopSignals();
    return Exit(ServeFile(config_file, check));
  }
  std::vector<Problem> problems;
  if (grade->parsed()) {
    absl::StatusOr<std::vector<Problem>> loaded = LoadProblems(problem_file);
    if (!loaded.ok()) return Exit(loaded.status());
    problems = *std::move(loaded);
  }
  const auto run_verb = [&](LocalGrader& grader, const Clock& clock) -> int {
    if (*check_sandbox) {
      const absl::StatusOr<bool> ok = RunSandboxCheck(grader, clock, output == "json", std::cout);
      return !ok.ok() ? Exit(ok.status()) : *ok ? kExitOk : kExitRunFailed;
    }
    if (app.got_subcommand("sandbox")) return Exit(RunSandboxVerb(run, grader, clock, std::cout));
    return RunGradeVerb(problems, grader, std::cin, std::cout) ? 0 : 1;
  };
  return RunOffline(tier, problems, run_verb);
}
