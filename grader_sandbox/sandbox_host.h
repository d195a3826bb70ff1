#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/isolation.h"
#include "grader_sandbox/os_cgroup.h"
#include "grader_sandbox/run_gate.h"

namespace evilmoe {

// What this machine lets a sandbox be: found out once, by trying. Makes the options of cells, which it must outlive.
class SandboxHost {
 public:
  struct Options {
    std::filesystem::path zygote_binary;
    std::optional<Tier> tier;        // this one; none = the best that is offered
    Tier minimum_tier = Tier::kC;    // refuse to be less
    bool use_cgroups = true;         // where there are any, in tier A
    int runs_per_zygote = 1000;      // >= 1
    std::vector<std::string> setups; // of the problems to come: held_setups.h
  };
  // FailedPrecondition: no tier that is good enough can be had; says why not. Others: the zygote does not start at all.
  static absl::StatusOr<std::unique_ptr<SandboxHost>> Probe(const Options& options);

  // Slots of one process have different numbers, from 0.
  Cell::Options CellOptions(int slot);

  Tier tier() const { return isolation_.tier; }
  std::string cgroup() const;    // "v1", "v2", "none"
  int landlock_version() const;  // 0 = none
  bool own_users() const { return isolation_.uid != 0; }
  // Why a better tier or a cgroup was not taken; one line each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  explicit SandboxHost(Options options) : options_(std::move(options)) {}
  absl::Status ChooseTier();
  absl::Status TryTier(Tier tier);

  const Options options_;
  Isolation isolation_;  // of slot 0
  std::unique_ptr<CgroupTree> cgroups_;
  std::vector<std::string> notes_;
  RunGate gate_;
};

}  // namespace evilmoe
