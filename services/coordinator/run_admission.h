#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/coordinator/coordinator_types.h"

namespace evilmoe {

// Which runs a coordinator takes, and where they live. A submitted config is text from outside: it is read strictly, as
// `evilmoe-ctl submit` reads it, and the files that it names must be there and, where there are roots, lie below one of
// them, links followed. Reads the disk, changes nothing but the run's folder. Thread-safe.
class RunAdmission {
 public:
  struct Options {
    std::filesystem::path runs;                     // absolute; where a run without a directory gets its own
    std::vector<std::filesystem::path> roots;       // absolute; empty = any path may be named
    std::vector<std::string> judge_key_variables;   // that monitor.judge.api_key_env may name, where there are roots
    std::vector<std::string> judge_endpoints;       // that monitor.judge.endpoint may be, likewise
  };
  explicit RunAdmission(Options options) : options_(std::move(options)) {}

  // Sets the run's directory where it has none and makes it, with its config.yaml. InvalidArgument lists every problem
  // of the config, what it asks too much of (run_limits.h) and paths outside too, one a line; or: the id is no name for
  // a folder, or the directory lies elsewhere or holds something that is no run. AlreadyExists: it holds another run.
  // Unavailable: it cannot be made.
  absl::Status Admit(RunRecord& run) const;
  // InvalidArgument: the parameters name a path outside.
  absl::Status Admit(const JobRecord& job) const;

 private:
  absl::Status CheckConfig(const RunRecord& run) const;
  absl::Status CheckDirectory(const RunRecord& run) const;
  // OK: the path, links followed, lies below a root. `field` is told in the error.
  absl::Status CheckPath(const std::string& field, const std::filesystem::path& path) const;
  // OK: there are no roots, or it is nothing or one of `allowed`, the config key of that name.
  absl::Status CheckListed(const char* field, const std::string& value, const char* key,
                           const std::vector<std::string>& allowed) const;

  const Options options_;
};

}  // namespace evilmoe
