#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The verbs that look at runs and at what happens in them.

struct ListCommand {
  std::string sweep;
  std::string state;
  std::optional<int> limit;
};
void AddListOptions(VerbOptions& options, ListCommand& command);
absl::StatusOr<int> List(const ListCommand& command, const VerbContext& context);

struct GetCommand {
  std::string run;
};
void AddGetOptions(VerbOptions& options, GetCommand& command);
absl::StatusOr<int> Get(const GetCommand& command, const VerbContext& context);

struct LogsCommand {
  std::string run;
  bool follow = false;
  std::string component;  // logs alone
};
void AddEventsOptions(VerbOptions& options, LogsCommand& command);
void AddLogsOptions(VerbOptions& options, LogsCommand& command);
absl::StatusOr<int> Events(const LogsCommand& command, const VerbContext& context);
absl::StatusOr<int> Logs(const LogsCommand& command, const VerbContext& context);

std::vector<Verb> ShowVerbs();

}  // namespace evilmoe
