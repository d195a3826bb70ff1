#pragma once

#include <string>
#include <utility>

#include "services/coordinator/coordinator_types.h"

namespace evilmoe {

// Rows of both stores as records. The columns stand in the order in which the members are read here: each store's query
// names them so. `Row` has Int(column) and Text(column), where a missing value is 0 or "".

template <typename Row>
AdapterName StoredAdapter(const Row& row, int first_column, const std::string& run_id) {
  AdapterName adapter{
      .step = row.Int(first_column), .sha256 = row.Text(first_column + 1), .size_bytes = row.Int(first_column + 2)};
  if (!adapter.sha256.empty()) adapter.run_id = run_id;
  return adapter;
}

// With its newest adapter and the number of its last event.
template <typename Row>
RunRecord StoredRun(const Row& row) {
  RunRecord run{.run_id = row.Text(0),
                .name = row.Text(1),
                .arm = row.Text(2),
                .phase = static_cast<RunPhase>(row.Int(3)),
                .config_yaml = row.Text(4),
                .config_sha256 = row.Text(5),
                .steps_total = row.Int(6),
                .steps_done = row.Int(7),
                .error = row.Text(8),
                .created_unix_ms = row.Int(9),
                .finished_unix_ms = row.Int(10),
                .directory = row.Text(11),
                .priority = static_cast<int>(row.Int(12)),
                .slots = static_cast<int>(row.Int(13)),
                .sweep = row.Text(14),
                .model_fingerprint = row.Text(15),
                .last_seq = row.Int(19)};
  run.adapter = StoredAdapter(row, 16, run.run_id);
  return run;
}

template <typename Row>
JobRecord StoredJob(const Row& row) {
  return {.order = row.Int(0),
          .job_id = row.Text(1),
          .run_id = row.Text(2),
          .type = static_cast<JobType>(row.Int(3)),
          .params_json = row.Text(4),
          .phase = static_cast<RunPhase>(row.Int(5)),
          .trainer_id = row.Text(6),
          .trainer_name = row.Text(7),
          .incarnation = row.Int(8),
          .num_lost_trainers = static_cast<int>(row.Int(9))};
}

// `sampling` are the bytes of column 7, which each store reads in its own way.
template <typename Row>
BatchRecord StoredBatchRecord(const Row& row, std::string sampling) {
  BatchRecord batch{.id = row.Int(0),
                    .run_id = row.Text(1),
                    .key = row.Text(2),
                    .step = row.Int(3),
                    .sampling = std::move(sampling),
                    .fingerprint = row.Text(8),
                    .bind_at_lease = row.Int(9) != 0,
                    .max_policy_lag = row.Int(10)};
  batch.adapter = StoredAdapter(row, 4, batch.run_id);
  return batch;
}

}  // namespace evilmoe
