#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grader_sandbox/isolation.h"
#include "grader_sandbox/judge.h"
#include "grader_sandbox/os_cgroup.h"
#include "grader_sandbox/os_scratch.h"
#include "grader_sandbox/run_gate.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/verdict.h"
#include "grader_sandbox/zygote.h"

namespace evilmoe {

// What one run may use.
struct RunLimits {
  absl::Duration cpu = absl::Seconds(3);  // > 0; the wall limit is twice that and a second
  int64_t address_space_bytes = int64_t{1} << 30;
  int64_t rss_bytes = int64_t{512} << 20;   // judged by the peak, after the run
  size_t source_bytes = size_t{256} << 10;
  size_t value_bytes = size_t{1} << 20;     // of one frame
  size_t result_bytes = size_t{4} << 20;    // of all frames
  size_t output_bytes = size_t{4} << 20;    // standard output and error together; more ends the run
  size_t kept_output_bytes = size_t{64} << 10;

  absl::Duration wall() const { return 2 * cpu + absl::Seconds(1); }
  // Where a run is killed. One that ends between `cpu` and here may have been slowed by its neighbours: it is repeated
  // alone, and then `cpu` decides.
  absl::Duration hard_cpu() const { return 1.2 * cpu; }
};

struct RunOutcome {
  Verdict verdict;
  std::string output;  // the first kept_output_bytes that the run printed
  std::optional<int> exit_status;  // when it ended by itself, not by a signal
  std::vector<ScratchFile> files;  // what it left in its scratch folder
};

// What a run is watched by.
struct RunPlan {
  std::string request;  // encoded
  bool uses_files = false;
  RunLimits limits;
};

// One slot: a zygote and the supervisor of its runs. Every run is a child of the zygote that is always killed.
// Not thread-safe.
class Cell {
 public:
  struct Options {
    std::filesystem::path zygote_binary;
    int runs_per_zygote = 1000;  // >= 1
    Isolation isolation;
    std::string name = "0";               // of its cgroup; one cell of a process has it
    const CgroupTree* cgroups = nullptr;  // may be null; else must outlive it, as must `gate`
    std::vector<std::string> setups;      // that its zygotes hold (held_setups.h)
    RunGate* gate = nullptr;              // shared with the cells beside it; null = none are
    bool with_ctypes = false;             // for tests of the layers around the interpreter
  };
  explicit Cell(Options options);

  // Runs `request` until `judge` has its verdict, the process ends or a limit is reached. What the machine loses is
  // repeated, twice at most, with a new zygote. Unavailable: lost every time. FailedPrecondition: from the judge. Or
  // what `interrupt` says.
  absl::StatusOr<RunOutcome> Run(RunRequest request, const RunLimits& limits, Judge& judge, const Interrupt& interrupt);

  // Process id of the zygote without numpy, 0 when there is none now.
  pid_t zygote_pid() const { return lean_.zygote == nullptr ? 0 : lean_.zygote->pid(); }

 private:
  // One of the two zygotes, with what it has.
  struct Nursery {
    std::string imports;
    std::unique_ptr<Zygote> zygote;
  };
  absl::StatusOr<RunOutcome> RunBesideOthers(Nursery& nursery, const RunPlan& plan, Judge& judge,
                                             const Interrupt& interrupt);
  absl::StatusOr<RunOutcome> RunUntilDone(Nursery& nursery, const RunPlan& plan, Judge& judge,
                                          const Interrupt& interrupt);
  absl::StatusOr<RunOutcome> RunOnce(Nursery& nursery, const RunPlan& plan, Judge& judge, const Interrupt& interrupt);
  // Sees to it that the zygote is there, in the slot's cgroup, with room for `rss_bytes` of a run.
  absl::Status Warm(Nursery& nursery, int64_t rss_bytes);

  const Options options_;
  std::unique_ptr<SlotCgroup> cgroup_;  // made with the first zygote; goes after them
  Nursery lean_;
  Nursery numpy_;  // for code that speaks of numpy
};

}  // namespace evilmoe
