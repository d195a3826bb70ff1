#include "services/ctl/doctor_verb.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/exit_code.h"
#include "common/status_macros.h"
#include "services/ctl/doctor_checks.h"
#include "services/ctl/sibling_run.h"
#include "services/ctl/verb_table.h"
#include "services/ctl/verbs.h"
#include "services/runs/run_directory.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kDevicesTimeout = absl::Minutes(1);
constexpr absl::Duration kSandboxTimeout = absl::Minutes(3);
constexpr absl::Duration kVerifyTimeout = absl::Minutes(10);

// The JSON object that a sibling's verb prints. Internal: it printed none; its own error is then the message.
absl::StatusOr<nlohmann::json> Ask(std::string_view binary, const std::vector<std::string>& words,
                                   absl::Duration timeout, const VerbContext& context) {
  EVILMOE_ASSIGN_OR_RETURN(const SiblingResult result, RunSibling(binary, words, timeout, context.clock));
  nlohmann::json report = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
  if (report.is_object()) return report;
  const std::vector<std::string> lines = absl::StrSplit(result.errors, '\n', absl::SkipEmpty());
  return absl::InternalError(absl::StrCat(std::string(binary), " ", words[0], ": ",
                                          lines.empty() ? absl::StrCat("exit code ", result.exit_code) : lines.back()));
}

// Takes checks as they come, so that a person need not wait for the last one.
class Findings {
 public:
  explicit Findings(const VerbContext& context) : context_(context) {}
  void Add(DoctorCheck check) {
    if (!context_.global.json) context_.out << DoctorText(check, context_.global.color) << std::flush;
    checks_.push_back(std::move(check));
  }
  void Add(std::vector<DoctorCheck> checks) {
    for (DoctorCheck& check : checks) Add(std::move(check));
  }
  int Conclude() const {
    const nlohmann::ordered_json json = DoctorJson(checks_);
    if (context_.global.json) {
      context_.out << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
    }
    return json["ok"] == true ? kExitOk : kExitRunFailed;
  }

 private:
  const VerbContext& context_;
  std::vector<DoctorCheck> checks_;
};

Endpoint EndpointToCheck(const VerbContext& context) {
  if (!context.global.endpoint.address.empty()) return context.global.endpoint;
  const auto served = HomeDirectory{context.home}.ReadServed();
  return {.address = served ? served->endpoint : ""};
}

}  // namespace

void AddDoctorOptions(VerbOptions& options, DoctorCommand& command) {
  options.File("FILE", &command.file, "A run file: its model is looked at and verified too");
  options.Flag("--quick", &command.quick, "Leave out what takes seconds: the sandbox's self-check and verify");
}

absl::StatusOr<int> Doctor(const DoctorCommand& command, const VerbContext& context) {
  Findings findings(context);
  findings.Add({"version", DoctorCheck::State::kOk, absl::StrCat("evilmoe-ctl ", CtlVersion()), ""});
  findings.Add(CheckSiblings());
  findings.Add(CheckHome(context.home));
  findings.Add(CheckSockets());
  if (!command.file.empty()) findings.Add(CheckRunFile(command.file));
  const Endpoint endpoint = EndpointToCheck(context);
  findings.Add(CheckCredentials(endpoint, context.clock.Now()));
  if (!endpoint.address.empty()) {
    findings.Add(CheckCoordinator(endpoint, context.connect(endpoint)->GetStatus(), CtlVersion()));
  }
  findings.Add(CheckDevices(Ask("evilmoe-trainer", {"devices"}, kDevicesTimeout, context)));
  if (command.quick) return findings.Conclude();
  findings.Add(
      CheckSandboxReport(Ask("evilmoe-grader", {"sandbox", "check", "--output", "json"}, kSandboxTimeout, context)));
  std::vector<std::string> verify = {"verify", "--json"};
  if (!command.file.empty()) verify.push_back(command.file.string());
  findings.Add(CheckVerification(Ask("evilmoe-rollout", verify, kVerifyTimeout, context)));
  return findings.Conclude();
}

std::vector<Verb> DoctorVerbs() {
  return {{"doctor", verb_group::kMachine, "Check this machine, a run file and the coordinator",
           [](VerbOptions& options) { return Bound(options, AddDoctorOptions, Doctor); },
           "Binaries, disk, sockets, devices and NCCL, the sandbox under attack, the model's files, the coordinator with "
           "its store and workers, token and certificates, and whether sampler and trainer agree on log-probabilities. A "
           "line each, with what to do; exit code 1 when one fails.",
           "evilmoe-ctl doctor examples/nano/run.yaml"}};
}

}  // namespace evilmoe
