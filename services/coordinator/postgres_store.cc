#include "services/coordinator/postgres_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/postgres_schema.h"

namespace evilmoe {
namespace {

// Advisory locks are a database's own; "EvMo".
constexpr int64_t kWriterLock = 0x45764d6f;

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresStore>> PostgresStore::Open(const PostgresOptions& options) {
  std::unique_ptr<PostgresStore> store(new PostgresStore(options));
  EVILMOE_RETURN_IF_ERROR(store->OpenWriter());
  EVILMOE_RETURN_IF_ERROR(store->ReadEvents("", 0, 1).status());
  return store;
}

absl::Status PostgresStore::OpenWriter() {
  EVILMOE_ASSIGN_OR_RETURN(PostgresConnection connection, PostgresConnection::Open(options_));
  const std::string place = connection.place();
  EVILMOE_RETURN_IF_ERROR(Annotate(TakeLock(connection), place));
  EVILMOE_RETURN_IF_ERROR(Annotate(MigratePostgresStore(connection), place));
  EVILMOE_RETURN_IF_ERROR(Annotate(Describe(connection), place));
  if (!epoch_.has_value()) {
    const absl::StatusOr<int64_t> epoch = connection.Number("SELECT epoch FROM meta");
    EVILMOE_RETURN_IF_ERROR(Annotate(epoch.status(), place));
    epoch_ = *epoch;
  }
  writer_ = std::move(connection);
  return absl::OkStatus();
}

absl::Status PostgresStore::TakeLock(PostgresConnection& connection) {
  EVILMOE_RETURN_IF_ERROR(connection.Execute(
      absl::StrCat("SET lock_timeout = ", absl::ToInt64Milliseconds(options_.lock_wait) + 1).c_str()));
  absl::Status taken = connection.Execute(absl::StrCat("SELECT pg_advisory_lock(", kWriterLock, ")").c_str());
  if (taken.ok()) return connection.Execute("SET lock_timeout = 0");
  if (connection.lost() || !absl::IsUnavailable(taken)) return taken;
  if (epoch_.has_value()) {
    EVILMOE_ASSIGN_OR_RETURN(const int64_t epoch, connection.Number("SELECT epoch FROM meta"));
    if (epoch == *epoch_) {
      return absl::UnavailableError("the lock is not free yet: the server still holds the session that was lost");
    }
  }
  return absl::FailedPreconditionError("another coordinator has this database; stop it first");
}

absl::Status PostgresStore::Describe(PostgresConnection& connection) {
  return connection.Query(
      "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN "
      "'remote_apply' ELSE 'on' END, false), current_setting('fsync'), split_part(current_setting('server_version'), ' "
      "', 1)",
      {}, [&](const PostgresRow& row) {
        if (!description_.empty()) return absl::OkStatus();  // somebody may be reading it
        description_ = absl::StrCat("postgresql ", row.Text(2), ", ", connection.place(),
                                    " (synchronous_commit=", row.Text(0), ", fsync=", row.Text(1), ")");
        return absl::OkStatus();
      });
}

absl::Status PostgresStore::OnWriter(const std::function<absl::Status(PostgresConnection&)>& work) {
  for (int attempt = 0;; ++attempt) {
    if (!writer_.has_value()) EVILMOE_RETURN_IF_ERROR(OpenWriter());
    absl::Status status = work(*writer_);
    if (!writer_->lost()) {
      writer_->Rollback();
      return status;
    }
    writer_.reset();
    if (attempt == 1) return status;
  }
}

absl::StatusOr<std::vector<EventRecord>> PostgresStore::ReadEvents(const std::string& run_id, int64_t after_seq,
                                                                   int limit) {
  std::vector<EventRecord> events;
  MutexLock lock(reader_mu_);
  for (int attempt = 0;; ++attempt) {
    if (!reader_.has_value()) {
      EVILMOE_ASSIGN_OR_RETURN(reader_, PostgresConnection::Open(options_));
    }
    events.clear();
    const absl::Status read = reader_->Query(
        "SELECT seq, unix_ms, kind, payload FROM events WHERE run_id = $1::text AND seq > $2::bigint ORDER BY seq "
        "LIMIT "
        "$3::bigint",
        PostgresScalars(run_id, after_seq, limit), [&](const PostgresRow& row) {
          events.push_back(
              {.seq = row.Int(0), .unix_ms = row.Int(1), .kind = row.Text(2), .payload_json = row.Text(3)});
          return absl::OkStatus();
        });
    if (read.ok()) return events;
    const bool again = reader_->lost() && attempt == 0;
    if (reader_->lost()) reader_.reset();
    if (!again) return read;
  }
}

}  // namespace evilmoe
