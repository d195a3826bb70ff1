#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/rollout_view.h"
#include "services/ctl/run_files.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The verbs that read what a run has written down: metrics and rollouts.

struct MetricsCommand {
  std::string run;
  std::optional<int64_t> step;
  bool csv = false;
};
void AddMetricsOptions(VerbOptions& options, MetricsCommand& command);
absl::StatusOr<int> Metrics(const MetricsCommand& command, const VerbContext& context);

struct RolloutsCommand {
  std::string run;
  std::optional<int64_t> step;
  RolloutChoice choice;
  int limit = 10;
};
void AddRolloutsOptions(VerbOptions& options, RolloutsCommand& command);
absl::StatusOr<int> Rollouts(const RolloutsCommand& command, const VerbContext& context);

std::vector<Verb> RecordVerbs();

// Steps whose rollouts are among the files, in order.
std::vector<int64_t> RolloutSteps(const std::vector<RunFileEntry>& files);

}  // namespace evilmoe
