// evilmoe-coordinator: keeps runs, hands their groups to rollout workers, knows which adapter each of them holds.

#include <algorithm>
#include <chrono>
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/cleanup/cleanup.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/metrics_server.h"
#include "common/parse_arguments.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "proto/security/address.h"
#include "proto/security/call_guard.h"
#include "proto/security/listening_service.h"
#include "services/coordinator/coordinator_config.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/coordinator_service.h"
#include "services/coordinator/open_store.h"
#include "services/coordinator/run_admission.h"
#include "services/coordinator/run_mirror.h"
#include "services/coordinator/tick_loop.h"
#include "services/page/core_run_source.h"
#include "services/page/page_server.h"

namespace evilmoe {
namespace {

constexpr int kMaxThreads = 512;  // of streams that carry files; other calls hold none
constexpr std::chrono::seconds kShutdownGrace(1);  // the metrics server takes up to two more

absl::StatusOr<std::unique_ptr<CoordinatorCore>> MakeCore(const CoordinatorConfig& config, Store& store,
                                                          const Clock& clock, Logger& logger,
                                                          CoordinatorMetrics& metrics, RunMirror& mirror,
                                                          std::stop_source& broken) {
  return CoordinatorCore::Create(store,
                                 {.lease_timeout = absl::Seconds(config.lease_timeout_s),
                                  .trainer_timeout = absl::Seconds(config.trainer_timeout_s),
                                  .device_slots = config.device_slots},
                                 clock, logger, metrics,
                                 {.run_changed = [&mirror](const std::string& run_id) { mirror.Touch(run_id); },
                                  .broken = [&broken](const absl::Status&) { broken.request_stop(); }});
}

absl::StatusOr<std::unique_ptr<CallGuard>> MakeGuard(const CoordinatorConfig& config, const Clock& clock,
                                                     Logger& logger, CallGuardMetrics& metrics) {
  return CallGuard::Create(
      {.tokens = config.listen.security.tokens, .limits = config.listen.limits, .role_of = CoordinatorRole}, clock,
      &logger, &metrics);
}

PageServerOptions PageOptions(const CoordinatorConfig& config) {
  PageServerOptions options{
      .listen = config.page_listen, .security = config.listen.security, .hosts = config.page_hosts};
  if (!config.page_client_certificates) options.security.client_ca.clear();
  return options;
}

// Until a signal comes, or the store is broken: then whoever started this process is to start it again.
absl::Status Serve(const CoordinatorConfig& config) {
  std::stop_source stop, broken;
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, "coordinator", clock));
  const auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(*registry);
  CallGuardMetrics guard_metrics(*registry, "coordinator");
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<CallGuard> guard, MakeGuard(config, clock, logger, guard_metrics));
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, OpenStore(config.database));
  RunMirror mirror(logger);
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<CoordinatorCore> core,
                           MakeCore(config, *store, clock, logger, metrics, mirror, broken));
  const RunAdmission admission({.runs = config.runs,
                                .roots = config.roots,
                                .judge_key_variables = config.judge_key_variables,
                                .judge_endpoints = config.judge_endpoints});
  CoordinatorServiceImpl service(*core, metrics,
                                 {.guard = guard.get(),
                                  .run = [&](RunRecord& run) { return admission.Admit(run); },
                                  .job = [&](const JobRecord& job) { return admission.Admit(job); }});
  if (config.roots.empty() && std::ranges::any_of(config.listen.addresses, IsTcpAddress)) {
    logger.Warn("no_roots", {{"listen", config.listen.addresses},
                             {"then", "whoever may submit runs there may name any file of this machine"}});
  }
  EVILMOE_ASSIGN_OR_RETURN(
      const ListeningServer listening,
      StartListening({.listen = config.listen, .max_threads = kMaxThreads}, {&service}, clock.Now()));
  EVILMOE_ASSIGN_OR_RETURN(const auto metrics_server, MetricsServer::Start(config.metrics_listen, registry));
  CoreRunSource runs(*core);
  EVILMOE_ASSIGN_OR_RETURN(std::unique_ptr<PageServer> page,
                           PageServer::Start(PageOptions(config), runs, clock, logger, &guard_metrics));
  const TickLoop ticks(*core, metrics, logger, config.runs);
  mirror.Start(*core);
  const auto stop_mirror = absl::MakeCleanup([&mirror] { mirror.Stop(); });  // it uses the core, which goes first
  EVILMOE_RETURN_IF_ERROR(WriteReadyFile(config.ready_file, metrics_server->port(), listening.ports, page->port()));
  logger.Info("serving", {{"listen", config.listen.addresses},
                          {"store", store->Description()},
                          {"lease_timeout_s", config.lease_timeout_s},
                          {"metrics_port", metrics_server->port()},
                          {"page_port", page->port()}});
  AwaitStopSignal(stop, broken.get_token());
  core->Stop();
  page.reset();  // its readers wait for the core
  listening.server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  logger.Info("stopped");
  return broken.stop_requested() ? absl::UnavailableError("the store is broken; see the log") : absl::OkStatus();
}

absl::Status Run(const std::string& file, bool check) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, size_t{1} << 20));
  const std::filesystem::path folder = std::filesystem::absolute(file).parent_path();
  EVILMOE_ASSIGN_OR_RETURN(const CoordinatorConfig config, ParseCoordinatorConfig(text, file, folder));
  return check ? absl::OkStatus() : Serve(config);
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  evilmoe::BlockStopSignals();
  CLI::App app{"Keeps runs and hands their work to trainers and rollout workers."};
  std::string file;
  bool check = false;
  app.add_option("--config", file, "The config file (YAML)")->required();
  app.add_flag("--check", check, "Only check the config file");
  if (const std::optional<int> code = evilmoe::ParseArguments(app, argc, argv)) return *code;
  const absl::Status status = evilmoe::Run(file, check);
  if (status.ok()) return 0;
  std::cerr << "evilmoe-coordinator: " << status.message() << "\n";
  return evilmoe::ExitCodeOf(status);
}
