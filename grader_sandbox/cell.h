#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grader_sandbox/judge.h"
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
};

struct RunOutcome {
  Verdict verdict;
  std::string output;  // the first kept_output_bytes that the run printed
};

// Asked every 50 ms or sooner: OK = go on, anything else ends the run with that status.
using Interrupt = std::function<absl::Status()>;

// One slot: a zygote and the supervisor of its runs. Every run is a child of the zygote that is always killed.
// Not thread-safe.
class Cell {
 public:
  struct Options {
    std::filesystem::path zygote_binary;
    int runs_per_zygote = 1000;  // >= 1
  };
  explicit Cell(Options options) : options_(std::move(options)) {}

  // Runs `request` until `judge` has its verdict, the process ends or a limit is reached. A lost zygote is replaced
  // and the run repeated, twice at most. Unavailable: lost every time. FailedPrecondition: from the judge. Or what
  // `interrupt` says.
  absl::StatusOr<RunOutcome> Run(const RunRequest& request, const RunLimits& limits, Judge& judge,
                                 const Interrupt& interrupt);

  // Process id of the zygote without numpy, 0 when there is none now.
  pid_t zygote_pid() const { return lean_ == nullptr ? 0 : lean_->pid(); }

 private:
  absl::StatusOr<RunOutcome> RunOnce(std::unique_ptr<Zygote>& zygote, const char* imports, const std::string& bytes,
                                     const RunLimits& limits, Judge& judge, const Interrupt& interrupt);

  const Options options_;
  std::unique_ptr<Zygote> lean_;
  std::unique_ptr<Zygote> numpy_;  // for code that speaks of numpy
};

}  // namespace evilmoe
