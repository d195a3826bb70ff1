#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

inline constexpr int64_t kMaxLogBytes = int64_t{256} << 10;  // in one answer

// {"logs": [{"name", "size_bytes"}]}: the files below logs/ of a run's directory, none where there is no such folder.
absl::StatusOr<nlohmann::ordered_json> ListLogs(const std::string& run_directory);

// {"name", "from", "to", "size_bytes", "text"}: whole lines of a log, at most kMaxLogBytes of them: those behind `offset`,
// or, where it is -1, the last ones. A log that has become shorter is read from its start. `to` is the next offset.
// NotFound; InvalidArgument: the name leads elsewhere.
absl::StatusOr<nlohmann::ordered_json> ReadLog(const std::string& run_directory, const std::string& name,
                                               int64_t offset);

}  // namespace evilmoe
