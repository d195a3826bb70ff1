#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "services/coordinator/change_set.h"
#include "services/coordinator/postgres_connection.h"
#include "services/coordinator/store.h"

namespace evilmoe {

// The store in the schema `evilmoe` of a PostgreSQL database (13 or newer, UTF-8), with synchronous_commit=on.
//
// One writer: its session holds an advisory lock for as long as it lives. So a second coordinator is refused, and after
// a reconnection nothing that the lost session had on its way can still be committed. A writer whose session died while
// another coordinator came is fenced: each transaction checks that the store's epoch is still the writer's. A pooler
// between here and the server must keep sessions.
//
// A lost connection is opened again, once a call: what was on its way is done again, whether or not it was committed.
// Waits: postgres_connection.h. Ids, keys and run ids have at most 256 bytes, or PostgreSQL cannot index them.
class PostgresStore final : public Store {
 public:
  // Creates or migrates the schema. InvalidArgument: libpq cannot read the URI; FailedPrecondition: of a newer program,
  // or another's, or another coordinator has the store; else PostgresConnection's. No message holds the password.
  static absl::StatusOr<std::unique_ptr<PostgresStore>> Open(const PostgresOptions& options);

  absl::StatusOr<StoreContents> Load() override;
  absl::Status Apply(std::span<const StoreChange> changes) override;
  absl::StatusOr<std::vector<EventRecord>> ReadEvents(const std::string& run_id, int64_t after_seq, int limit) override;
  std::string Description() const override { return description_; }

 private:
  explicit PostgresStore(const PostgresOptions& options) : options_(options) {}

  // Does `work` on the writer's session, and again on a new one when that was lost.
  absl::Status OnWriter(const std::function<absl::Status(PostgresConnection&)>& work);
  absl::Status OpenWriter();
  absl::Status TakeLock(PostgresConnection& connection);
  absl::Status Describe(PostgresConnection& connection);

  // ---- postgres_load.cc ----
  static absl::StatusOr<StoreContents> LoadAll(PostgresConnection& connection);

  // ---- postgres_apply.cc ----
  absl::Status SendAll(PostgresConnection& connection, const ChangeSet& set);

  const PostgresOptions options_;
  std::string description_;
  std::optional<PostgresConnection> writer_;
  std::optional<int64_t> epoch_;  // that this writer began, or found when it was opened
  Mutex reader_mu_;
  std::optional<PostgresConnection> reader_ ABSL_GUARDED_BY(reader_mu_);
};

}  // namespace evilmoe
