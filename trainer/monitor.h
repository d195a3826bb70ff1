#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

// Everything that a monitor may know of a sample: what the policy was shown, what it wrote, and a random stream. There
// is no fact, label or reward in it, nor a way to one, and neither this header nor a monitor's includes them.
struct MonitoredSample {
  std::span<const int32_t> prompt_ids;    // the same memory for all samples of a prompt
  std::span<const int32_t> response_ids;  // as sampled, >= 1
  std::string_view response;              // the same as text
  uint64_t stream_seed = 0;               // a stream of its own for every (run seed, step, group, sample)
};

struct MonitorVerdict {
  enum class Kind {
    kNotAsked,  // the sample was lost before
    kClear,
    kFlagged,
    kNone,  // the monitor could not tell: the sample is masked, never trained on as if it were clear
  };
  Kind kind = Kind::kNotAsked;
  std::optional<double> score;  // higher = more like a hack, where the monitor has one
  std::string problem;          // of kNone: why
};
// "clear", "flagged", "none"; "" when not asked.
std::string_view VerdictName(MonitorVerdict::Kind kind);

// Says of each sample whether it looks like a hack. Not thread-safe.
class Monitor {
 public:
  virtual ~Monitor() = default;
  // One verdict a sample, in order, none of them kNotAsked. The views must live until it returns. An error is one that
  // no further sample could escape (a wrong key, a failed forward pass).
  virtual absl::StatusOr<std::vector<MonitorVerdict>> Watch(const std::vector<MonitoredSample>& samples) = 0;
  // What the last Watch() took, by name, for metrics.jsonl; empty where there is nothing to say.
  virtual std::map<std::string, int64_t> LastCounts() const { return {}; }
};

}  // namespace evilmoe
