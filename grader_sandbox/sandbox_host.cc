#include "grader_sandbox/sandbox_host.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_confine.h"
#include "grader_sandbox/os_process.h"
#include "grader_sandbox/zygote.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

// Users for slots: numbers that no package and no person is given (systemd: UIDs-GIDs.md, dynamic service users). Two
// graders of one machine rarely share one, and if they do only the limit on tasks is shared.
constexpr uint32_t kFirstUid = 61184;
constexpr uint32_t kUidsPerGrader = 256;

uint32_t FirstUid() { return kFirstUid + kUidsPerGrader * (static_cast<uint32_t>(getpid()) % 16); }

}  // namespace

absl::Status SandboxHost::TryTier(Tier tier) {
  const bool root = geteuid() == 0;
  if (tier == Tier::kA && !root && cgroups_ == nullptr) {
    return absl::FailedPreconditionError("tier A: neither root nor a delegated cgroup");
  }
  // What it may not end it must not start: a run's limits, and its own end, are kept by SIGKILL.
  const bool own_users = root && MaySignalOtherUsers();
  if (root && !own_users && tier != Tier::kC) {
    return absl::FailedPreconditionError(absl::StrCat(
        "tier ", TierName(tier), ": root without CAP_KILL could not end what runs as another user, expected CAP_KILL, ",
        "or an ordinary user"));
  }
  isolation_ = {.tier = tier, .uid = own_users ? FirstUid() : 0};
  const auto start = [&] {
    return Zygote::Start({.binary = options_.zygote_binary, .imports = kZygoteProbe, .isolation = isolation_}).status();
  };
  absl::Status started = start();
  if (started.ok() || tier != Tier::kC || !own_users) return started;
  isolation_.uid = 0;  // root in name only: a container that may not change users
  return start();
}

absl::Status SandboxHost::ChooseTier() {
  std::vector<std::string> reasons;
  for (const Tier tier : {Tier::kA, Tier::kB, Tier::kC}) {
    if (options_.tier.has_value() && tier != *options_.tier) continue;
    if (!AtLeast(tier, options_.minimum_tier)) {
      reasons.push_back(absl::StrCat("tier ", TierName(tier), " is less than what is asked for"));
      break;
    }
    const absl::Status tried = TryTier(tier);
    if (tried.ok()) {
      notes_.insert(notes_.end(), reasons.begin(), reasons.end());
      return absl::OkStatus();
    }
    if (!absl::IsFailedPrecondition(tried)) return tried;
    reasons.emplace_back(tried.message());
  }
  return absl::FailedPreconditionError(
      absl::StrCat("sandbox: this machine does not offer tier ", TierName(options_.minimum_tier), " or better",
                   options_.tier ? absl::StrCat(" as tier ", TierName(*options_.tier)) : "", ": ",
                   absl::StrJoin(reasons, "; ")));
}

absl::StatusOr<std::unique_ptr<SandboxHost>> SandboxHost::Probe(const Options& options) {
  std::unique_ptr<SandboxHost> host(new SandboxHost(options));
  if (options.use_cgroups && options.tier.value_or(Tier::kA) == Tier::kA) {
    absl::StatusOr<std::unique_ptr<CgroupTree>> cgroups = CgroupTree::Find(OwnCgroupFolders());
    if (cgroups.ok()) host->cgroups_ = *std::move(cgroups);
    else host->notes_.push_back(absl::StrCat("no cgroup: ", cgroups.status().message()));
  }
  EVILMOE_RETURN_IF_ERROR(host->ChooseTier());
  if (host->tier() != Tier::kA) host->cgroups_.reset();
  if (host->landlock_version() == 0) host->notes_.emplace_back("no Landlock in this kernel");
  return host;
}

Cell::Options SandboxHost::CellOptions(int slot) {
  Isolation isolation = isolation_;
  if (isolation.uid != 0) isolation.uid += static_cast<uint32_t>(slot) % kUidsPerGrader;
  return {.zygote_binary = options_.zygote_binary,
          .runs_per_zygote = options_.runs_per_zygote,
          .isolation = isolation,
          .name = absl::StrCat(slot),
          .cgroups = cgroups_.get(),
          .setups = options_.setups,
          .gate = &gate_};
}

std::string SandboxHost::cgroup() const { return cgroups_ == nullptr ? "none" : std::string(cgroups_->version()); }

int SandboxHost::landlock_version() const { return LandlockVersion(); }

}  // namespace evilmoe
