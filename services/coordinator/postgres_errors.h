#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "services/coordinator/postgres_values.h"

struct pg_result;

namespace evilmoe {

// What the sources of PostgresConnection share about libpq.

// OK, or InvalidArgument without any part of the URI, which may hold a password.
absl::Status CheckPostgresUri(const std::string& uri);
// Of a result that failed; the codes are PostgresConnection's.
absl::Status PostgresError(const pg_result* result);
absl::StatusCode CodeOfSqlState(std::string_view state);

// Pointers and lengths as libpq takes them. `parameters` must outlive it.
struct RawPostgresParameters {
  static constexpr int kBinary = 1;
  explicit RawPostgresParameters(const PostgresParameters& parameters) {
    for (const std::string& value : parameters.values) {
      values.push_back(value.data());
      lengths.push_back(static_cast<int>(value.size()));
      formats.push_back(kBinary);
    }
  }
  int size() const { return static_cast<int>(values.size()); }
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

}  // namespace evilmoe
