#include <libpq-fe.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/postgres_connection.h"
#include "services/coordinator/postgres_errors.h"

namespace evilmoe {

absl::Status PostgresConnection::Send(const char* sql, const PostgresParameters& parameters) {
  if (parameters.largest_bytes > kMaxPostgresBytes) {
    return absl::InternalError(absl::StrCat("PostgreSQL: a value of ", parameters.largest_bytes,
                                            " bytes, expected at most ", kMaxPostgresBytes));
  }
  pg_conn* const connection = connection_.get();
  if (PQpipelineStatus(connection) == PQ_PIPELINE_OFF && PQenterPipelineMode(connection) == 0) return LibraryError();
  std::string& name = prepared_[sql];
  if (name.empty()) {
    name = absl::StrCat("s", ++num_prepared_);
    if (PQsendPrepare(connection, name.c_str(), sql, 0, nullptr) == 0) return LibraryError();
    sent_.push_back({sql, /*prepares=*/true});
  }
  const RawPostgresParameters raw(parameters);
  if (PQsendQueryPrepared(connection, name.c_str(), raw.size(), raw.values.data(), raw.lengths.data(),
                          raw.formats.data(), RawPostgresParameters::kBinary) == 0) {
    return LibraryError();
  }
  sent_.push_back({sql, /*prepares=*/false});
  return Push();
}

// Until the kernel has it all: what waits to be sent takes memory. The server's answers are read meanwhile, or it would
// wait for us.
absl::Status PostgresConnection::Push() {
  while (true) {
    const int left = PQflush(connection_.get());
    if (left < 0) return Lose("the connection broke");
    if (left == 0) return absl::OkStatus();
    EVILMOE_RETURN_IF_ERROR(Await(/*to_send=*/true));
  }
}

absl::Status PostgresConnection::Finish() {
  const std::vector<Sent> sent = std::exchange(sent_, {});
  if (lost_ || PQpipelineStatus(connection_.get()) == PQ_PIPELINE_OFF) return absl::OkStatus();
  if (PQpipelineSync(connection_.get()) == 0) return LibraryError();
  absl::Status first;
  for (const Sent& statement : sent) {
    const absl::Status status = FinishOne();
    if (lost_) return first.ok() ? status : first;
    if (!status.ok() && statement.prepares) prepared_.erase(statement.sql);
    if (first.ok()) first = status;
  }
  EVILMOE_ASSIGN_OR_RETURN(pg_result* const sync, Next());
  PQclear(sync);
  if (PQexitPipelineMode(connection_.get()) == 0) return LibraryError();
  Rollback();
  return first;
}

void PostgresConnection::Rollback() {
  if (lost_ || PQtransactionStatus(connection_.get()) == PQTRANS_IDLE) return;
  if (!Execute("ROLLBACK").ok()) lost_ = true;
}

}  // namespace evilmoe
