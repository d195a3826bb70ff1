// evilmoe-coordinator: keeps runs, hands their groups to rollout workers, knows which adapter each of them holds.

#include <chrono>
#include <iostream>

#include "CLI/CLI.hpp"
#include "common/exit_code.h"
#include "common/file.h"
#include "common/metrics_server.h"
#include "common/parse_arguments.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_config.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/coordinator_service.h"
#include "services/coordinator/expiry_loop.h"
#include "services/coordinator/listening_service.h"

namespace evilmoe {
namespace {

constexpr std::chrono::seconds kShutdownGrace(1);  // the metrics server takes up to two more

absl::Status Serve(const CoordinatorConfig& config) {
  std::stop_source stop;
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, "coordinator", clock));
  const auto registry = std::make_shared<prometheus::Registry>();
  CoordinatorMetrics metrics(*registry);
  EVILMOE_ASSIGN_OR_RETURN(Store store, Store::Open(config.database));
  EVILMOE_ASSIGN_OR_RETURN(
      const std::unique_ptr<CoordinatorCore> core,
      CoordinatorCore::Create(std::move(store), {.lease_timeout = absl::Seconds(config.lease_timeout_s)}, clock, logger,
                              metrics));
  CoordinatorServiceImpl service(*core, metrics);
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<grpc::Server> server, StartListening(config.listen, service));
  EVILMOE_ASSIGN_OR_RETURN(const auto metrics_server, MetricsServer::Start(config.metrics_listen, registry));
  const ExpiryLoop expiry(*core, metrics, logger, config.database.parent_path(), absl::Seconds(1));
  EVILMOE_RETURN_IF_ERROR(WriteReadyFile(config.ready_file, metrics_server->port()));
  logger.Info("serving", {{"listen", config.listen}, {"database", config.database.string()},
                          {"lease_timeout_s", config.lease_timeout_s}, {"metrics_port", metrics_server->port()}});
  AwaitStopSignal(stop, stop.get_token());
  core->Stop();
  server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  logger.Info("stopped");
  return absl::OkStatus();
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
