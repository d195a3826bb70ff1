// A process for the tests of ranks, as a launcher, as a rank that a launcher started, or as a rank that does what it is
// told on its standard input, a socket: "sum", "broadcast", "turn". It answers with a line each.

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "trainer/c10d_collective.h"
#include "trainer/rank_launcher.h"
#include "trainer/rank_link.h"

namespace evilmoe {
namespace {

struct Options {
  int launch = 0;  // ranks to start; 0 = this is a rank
  int rank = -1;
  int size = 0;
  uint16_t port = 0;
  int timeout_ms = 0;
  std::string ready;  // a FIFO that gets "RANK PID"; empty: told on standard input
};

absl::Duration Timeout(const Options& options) { return absl::Milliseconds(options.timeout_ms); }

int Tell(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << absl::StatusCodeToString(status.code()) << ": " << status.message() << "\n";
  return 1;
}

absl::Status Launch(const Options& options) {
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open("", "launcher", clock));
  const RankLaunch launch = {.binary = "/proc/self/exe",
                             .arguments = {"--size", absl::StrCat(options.launch), "--timeout-ms",
                                           absl::StrCat(options.timeout_ms), "--ready", options.ready},
                             .num_ranks = options.launch,
                             .collective_timeout = Timeout(options),
                             .stop_grace = absl::Seconds(1)};
  return RunRanks(launch, logger);
}

absl::StatusOr<std::unique_ptr<C10dCollective>> Join(const Options& options) {
  EVILMOE_ASSIGN_OR_RETURN(RankStore store, ConnectRankStore(options.port, absl::Minutes(1)));
  return C10dCollective::Join(std::move(store),
                              {.rank = options.rank, .size = options.size, .deadline = Timeout(options)});
}

void TellReady(const Options& options) {
  const std::string line = absl::StrCat(options.rank, " ", getpid(), "\n");
  const int fd = open(options.ready.c_str(), O_WRONLY | O_CLOEXEC);
  if (write(fd, line.data(), line.size()) < 0) std::_Exit(4);
  close(fd);
}

// Rank 0 waits for SIGTERM and then tells the others to leave. SIGUSR1 is an error of the rank's own.
absl::Status LiveAsRank(const Options& options) {
  std::signal(SIGUSR1, [](int) { std::_Exit(3); });
  EVILMOE_ASSIGN_OR_RETURN(const auto link, RankLink::Start(STDIN_FILENO, Timeout(options)));
  EVILMOE_ASSIGN_OR_RETURN(const auto ranks, Join(options));
  TellReady(options);
  if (options.rank == 0) {
    std::stop_source stop;
    AwaitStopSignal(stop, std::stop_token());
  }
  EVILMOE_RETURN_IF_ERROR(ranks->AwaitTurn());
  return ranks->Broadcast("leave").status();
}

std::string Done(const absl::Status& status, const std::string& value) {
  if (status.ok()) return absl::StrCat("OK ", value);
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ", status.message());
}

std::string Do(const std::string& command, C10dCollective& ranks) {
  if (command == "turn") return Done(ranks.AwaitTurn(), "");
  if (command == "broadcast") {
    const absl::StatusOr<std::string> got = ranks.Broadcast(ranks.rank() == 0 ? "news" : "ignored");
    return Done(got.status(), got.value_or(""));
  }
  at::Tensor flat = at::full({1000}, ranks.rank() + 1, at::kFloat);
  const absl::Status status = ranks.Sum(flat);
  return Done(status, absl::StrCat(flat.sum().item<double>()));
}

absl::Status TakeCommands(const Options& options) {
  EVILMOE_ASSIGN_OR_RETURN(const auto ranks, Join(options));
  std::string line;
  const auto answer = [](const std::string& text) {
    return write(STDIN_FILENO, (text + "\n").data(), text.size() + 1) > 0;
  };
  if (!answer("joined")) return absl::UnavailableError("nobody listens");
  while (std::getline(std::cin, line)) {
    if (!answer(absl::StrCat("begin ", line)) || !answer(Do(line, *ranks))) break;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  CLI::App app;
  evilmoe::Options options;
  app.add_option("--launch", options.launch);
  app.add_option("--rank", options.rank);
  app.add_option("--size", options.size);
  app.add_option("--store-port", options.port);
  app.add_option("--timeout-ms", options.timeout_ms)->required();
  app.add_option("--ready", options.ready);
  CLI11_PARSE(app, argc, argv);
  evilmoe::BlockStopSignals();
  if (options.launch > 0) return evilmoe::Tell(evilmoe::Launch(options));
  return evilmoe::Tell(options.ready.empty() ? evilmoe::TakeCommands(options) : evilmoe::LiveAsRank(options));
}
