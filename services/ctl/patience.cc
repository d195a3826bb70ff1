#include "services/ctl/patience.h"

#include "services/runs/run_feed.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kLongest = absl::Minutes(1);

}  // namespace

absl::Status Patience::Bear(const absl::Status& status) {
  if (status.ok()) {
    lost_since_.reset();
    return status;
  }
  if (!IsUnreachable(status)) return status;
  const absl::Time now = clock_.Now();
  lost_since_ = lost_since_.value_or(now);
  return now - *lost_since_ < kLongest ? absl::OkStatus() : status;
}

}  // namespace evilmoe
