#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/store.h"

namespace evilmoe {

// Makes changes durable in the order in which they come, many in one transaction: while one is on its way to the disk the
// next ones gather (group commit), so that a call waits for at most two of them and none is made for one call alone
// when there are many. Owns the thread that writes.
//
// What a store cannot take now (Unavailable, a full disk) is tried again until it can; who waits, waits. Any other error
// is the end: everything that waits and everything later fails with Unavailable, and `on_broken` is called once.
//
// Thread-safe. All references must outlive it.
class CommitLoop {
 public:
  // Called with OK once all changes up to its own are durable, or with Unavailable: they may or may not be. On the
  // loop's thread, without a lock.
  using Durable = std::function<void(const absl::Status&)>;

  CommitLoop(Store& store, Logger& logger, CoordinatorMetrics& metrics, std::function<void(absl::Status)> on_broken);
  // Writes what is left, once; then ends.
  ~CommitLoop();

  // False: there was nothing to wait for, all earlier changes are durable and `changes` is empty; `durable` is not kept,
  // and the caller goes on by itself. In order with other calls only if the caller holds a lock around them.
  bool Add(std::vector<StoreChange> changes, Durable durable) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run();
  bool TakeWork();  // into writing_ and waking_; false: to end
  absl::Status Write();

  Store& store_;
  Logger& logger_;
  CoordinatorMetrics& metrics_;
  const std::function<void(absl::Status)> on_broken_;
  std::vector<StoreChange> writing_;  // the loop's alone
  std::vector<Durable> waking_;       // likewise
  Mutex mu_;
  std::vector<StoreChange> changes_ ABSL_GUARDED_BY(mu_);
  std::vector<Durable> waiting_ ABSL_GUARDED_BY(mu_);
  bool busy_ ABSL_GUARDED_BY(mu_) = false;  // a transaction is on its way
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace evilmoe
