#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/ctl/coordinator_link.h"
#include "services/ctl/endpoint.h"

namespace evilmoe {

// What `doctor` finds out, one line each.
struct DoctorCheck {
  enum class State { kOk, kWarning, kFailed };
  std::string name;
  State state = State::kOk;
  std::string what;  // the fact
  std::string todo;  // what to do about it; empty where nothing is to be done
};

// "ok", "warn", "fail".
const char* DoctorStateName(DoctorCheck::State state);

// Each check below is pure, or looks at one thing of this machine.

// Which of the project's binaries lie beside this one.
DoctorCheck CheckSiblings();
// Of `evilmoe-trainer devices`; not OK: it could not be asked.
std::vector<DoctorCheck> CheckDevices(const absl::StatusOr<nlohmann::json>& report);
// Of `evilmoe-grader sandbox check`.
DoctorCheck CheckSandboxReport(const absl::StatusOr<nlohmann::json>& report);
// Of `evilmoe-rollout verify`: how far sampler and trainer are apart, and whether everything else holds.
DoctorCheck CheckVerification(const absl::StatusOr<nlohmann::json>& report);
// A socket in /tmp and a port on loopback can be had.
DoctorCheck CheckSockets();
// Room and rights of the folder of runs, which may not be there yet.
DoctorCheck CheckHome(const std::filesystem::path& home);
// A run file and what it names: the model's files are there, whole, and fit the memory.
std::vector<DoctorCheck> CheckRunFile(const std::filesystem::path& file);
// What a coordinator says of itself; `info` may be why it does not.
std::vector<DoctorCheck> CheckCoordinator(const Endpoint& endpoint, const absl::StatusOr<CoordinatorInfo>& info,
                                          const std::string& version);
// Token and certificates that the endpoint is shown.
std::vector<DoctorCheck> CheckCredentials(const Endpoint& endpoint, absl::Time now);

// Lines for people; `color`: the states are painted.
std::string DoctorText(const DoctorCheck& check, bool color);
// {"ok", "checks": [{"name", "state", "what", "todo"}]}
nlohmann::ordered_json DoctorJson(const std::vector<DoctorCheck>& checks);

}  // namespace evilmoe
