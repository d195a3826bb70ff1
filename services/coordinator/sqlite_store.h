#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "services/coordinator/sqlite_database.h"
#include "services/coordinator/store.h"
#include "services/coordinator/store_lock.h"

namespace evilmoe {

// The store in one SQLite file (WAL, synchronous=FULL). Errors: sqlite_database.h.
class SqliteStore final : public Store {
 public:
  // Creates or migrates. DataLoss: not a database or a damaged one; FailedPrecondition: of a newer program, or
  // another's, or another coordinator writes it. The message names the path.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const std::filesystem::path& path);

  absl::StatusOr<StoreContents> Load() override;
  absl::Status Apply(std::span<const StoreChange> changes) override;
  absl::StatusOr<std::vector<EventRecord>> ReadEvents(const std::string& run_id, int64_t after_seq, int limit) override;
  std::string Description() const override { return "sqlite (WAL, synchronous=FULL)"; }

 private:
  SqliteStore(StoreLock lock, SqliteDatabase writer, SqliteDatabase reader)
      : lock_(std::move(lock)), writer_(std::move(writer)), reader_(std::move(reader)) {}

  // ---- sqlite_load.cc ----
  absl::Status LoadRuns(StoreContents& contents);
  absl::Status LoadOfRuns(StoreContents& contents);
  absl::StatusOr<StoredBatch> LoadBatch(BatchRecord batch);

  // ---- sqlite_apply.cc ----
  absl::Status ApplyOne(const PutRun& change);
  absl::Status ApplyOne(const PutJob& change);
  absl::Status ApplyOne(const PutAdapter& change);
  absl::Status ApplyOne(const PutEvent& change);
  absl::Status ApplyOne(const PutBatch& change);
  absl::Status ApplyOne(const DropBatch& change);
  absl::Status ApplyOne(const PutLease& change);
  absl::Status ApplyOne(const RequeueGroup& change);
  absl::Status ApplyOne(const FinishGroup& change);

  StoreLock lock_;  // let go of last
  SqliteDatabase writer_;
  Mutex reader_mu_;
  SqliteDatabase reader_ ABSL_GUARDED_BY(reader_mu_);  // WAL: reads go on while the writer writes
};

}  // namespace evilmoe
