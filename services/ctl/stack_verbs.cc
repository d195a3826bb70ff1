#include "services/ctl/stack_verbs.h"

#include "absl/strings/str_cat.h"
#include "common/exit_code.h"
#include "common/status_macros.h"
#include "services/ctl/local_stack.h"
#include "services/ctl/long_lived_stack.h"
#include "services/ctl/stack_resources.h"
#include "services/ctl/verb_table.h"

namespace evilmoe {
namespace {

StackSupervisor::Connect ConnectBy(const VerbContext& context) {
  return [&context](const std::string& address) { return context.connect({.address = address}); };
}

StackShape ShapeOf(const UpCommand& command) {
  StackShape shape = Chosen(DefaultShape(NumCores()), command.stack);
  shape.num_trainers = command.trainers;
  return shape;
}

absl::Status CheckListener(const StackListener& listener) {
  if (listener.address.empty()) {
    const bool any = !listener.certificate.empty() || !listener.key.empty() || !listener.client_ca.empty() ||
                     !listener.tokens.empty() || listener.insecure;
    if (any) return absl::InvalidArgumentError("up: options about TLS and tokens, expected them with --listen alone");
    return absl::OkStatus();
  }
  if (listener.certificate.empty() != listener.key.empty()) {
    return absl::InvalidArgumentError("--tls-certificate and --tls-key: got one of them, expected both or none");
  }
  for (const std::string& file : {listener.certificate, listener.key, listener.client_ca, listener.tokens}) {
    std::error_code ignored;
    if (!file.empty() && !std::filesystem::exists(file, ignored)) return absl::NotFoundError(file + ": not found");
  }
  return absl::OkStatus();
}

// The stack runs elsewhere, so its files are named in whole.
StackListener Absolute(StackListener listener) {
  for (std::string* file : {&listener.certificate, &listener.key, &listener.client_ca, &listener.tokens}) {
    if (!file->empty()) *file = std::filesystem::absolute(*file).lexically_normal().string();
  }
  return listener;
}

// ---- hidden ----

struct StackCommand {
  std::filesystem::path run_dir;
  std::string action = "none";
  StackChoice stack;
};

void AddStackVerbOptions(VerbOptions& options, StackCommand& command) {
  options.Folder("--run-dir", &command.run_dir, "")->required();
  options.Choice("--action", &command.action, {"none", "resume", "retry", "cancel"}, "");
  AddStackOptions(options, command.stack);
}

absl::StatusOr<int> Stack(const StackCommand& command, const VerbContext& context) {
  RunAction action = RunAction::kNone;
  for (const RunAction one : {RunAction::kResume, RunAction::kRetry, RunAction::kCancel}) {
    if (command.action == RunActionName(one)) action = one;
  }
  EVILMOE_RETURN_IF_ERROR(RunStack({command.run_dir}, Chosen(DefaultShape(NumCores()), command.stack), action,
                                   context.clock, ConnectBy(context)));
  return kExitOk;
}

void AddUpStackOptions(VerbOptions& options, UpCommand& command) {
  options.Folder("--home", &command.home, "")->required();
  AddUpOptions(options, command);
}

absl::StatusOr<int> UpStack(const UpCommand& command, const VerbContext& context) {
  EVILMOE_RETURN_IF_ERROR(RunLongLivedStack({command.home}, ShapeOf(command), command.listener, context.clock));
  return kExitOk;
}

struct StackGuardCommand {
  std::filesystem::path sockets;
};
void AddStackGuardOptions(VerbOptions& options, StackGuardCommand& command) {
  options.Folder("--sockets", &command.sockets, "")->required();
}
absl::StatusOr<int> StackGuard(const StackGuardCommand& command, const VerbContext&) {
  RunStackGuard(command.sockets);
  return kExitOk;
}

}  // namespace

void AddUpOptions(VerbOptions& options, UpCommand& command) {
  options.Range("--workers", &command.stack.workers, 1, 64, "Rollout processes", "the cores, at most 2");
  options.Range("--trainers", &command.trainers, 1, 64, "Trainers: as many runs train at a time", "1");
  options.Range("--ranks", &command.stack.ranks, 1, 64, "Processes of each trainer that share a step", "1");
  options.Text("--listen", &command.listener.address, "HOST:PORT", "Serve other hosts there too");
  options.File("--tls-certificate", &command.listener.certificate, "Certificate of the coordinator there (PEM)");
  options.File("--tls-key", &command.listener.key, "Its key (PEM)");
  options.File("--tls-client-ca", &command.listener.client_ca,
               "Certificates that those of clients are checked with: mutual TLS");
  options.File("--tokens", &command.listener.tokens, "File of bearer tokens and their roles");
  options.Flag("--insecure", &command.listener.insecure, "Serve beyond this host without TLS and tokens");
}

absl::StatusOr<int> Up(const UpCommand& command, const VerbContext& context) {
  EVILMOE_RETURN_IF_ERROR(CheckListener(command.listener));
  const HomeDirectory home{context.home};
  const bool was_up = home.ReadServed().has_value();
  EVILMOE_ASSIGN_OR_RETURN(const HomeDirectory::Served served,
                           StartLongLivedStack(home, ShapeOf(command), Absolute(command.listener), context.clock));
  if (context.global.json) {
    context.out << nlohmann::ordered_json({{"pid", served.pid},
                                           {"endpoint", served.endpoint},
                                           {"page", served.page},
                                           {"home", home.path.string()},
                                           {"was_up", was_up}})
                       .dump()
                << "\n";
    return kExitOk;
  }
  context.out << (was_up ? "up already" : "up") << ": " << served.endpoint << " for the runs of " << home.path.string()
              << (served.page.empty() ? "" : absl::StrCat("\npage ", served.page))
              << "\n`evilmoe-ctl submit FILE` queues a run there, `evilmoe-ctl down` ends it\n";
  return kExitOk;
}

void AddDownOptions(VerbOptions& options, DownCommand& command) {
  options.Range("--timeout", &command.timeout_s, 1, 86400, "Seconds to wait for its end", "120");
}

absl::StatusOr<int> Down(const DownCommand& command, const VerbContext& context) {
  const HomeDirectory home{context.home};
  EVILMOE_ASSIGN_OR_RETURN(const bool stopped,
                           StopLongLivedStack(home, absl::Seconds(command.timeout_s), context.clock));
  if (context.global.json) {
    context.out << nlohmann::ordered_json({{"was_up", stopped}, {"home", home.path.string()}}).dump() << "\n";
  } else {
    context.out << (stopped ? "down" : "nothing is up") << ": " << home.path.string() << "\n";
  }
  return kExitOk;
}

std::vector<Verb> StackVerbs() {
  return {{"up", verb_group::kMachine, "Start a coordinator, grader, workers and trainers that stay",
           [](VerbOptions& options) { return Bound(options, AddUpOptions, Up); },
           "They serve the folder $EVILMOE_HOME (./runs where it is unset): while they are up, every verb without an "
           "--endpoint goes to them. Runs wait in a queue there, and go on where they were after `down` and `up`.",
           "evilmoe-ctl up --workers 2 --trainers 1\n"
           "evilmoe-ctl up --listen 0.0.0.0:7000 --tls-certificate c.pem --tls-key k.pem --tokens tokens.yaml"},
          {"down", verb_group::kMachine, "End what `up` started",
           [](VerbOptions& options) { return Bound(options, AddDownOptions, Down); },
           "Trainers end their step and write a checkpoint; their runs go on with the next `up`. Returns when the last "
           "process has ended.",
           "evilmoe-ctl down"},
          {"stack", verb_group::kHidden, "", [](VerbOptions& options) { return Bound(options, AddStackVerbOptions, Stack); },
           "", "", true},
          {"up-stack", verb_group::kHidden, "",
           [](VerbOptions& options) { return Bound(options, AddUpStackOptions, UpStack); }, "", "", true},
          {"stack-guard", verb_group::kHidden, "",
           [](VerbOptions& options) { return Bound(options, AddStackGuardOptions, StackGuard); }, "", "", true}};
}

}  // namespace evilmoe
