#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "services/report/run_record.h"

namespace evilmoe {

// One self-contained HTML page about a run: no request leaves it, and its content policy lets no script run but its
// own. All text of the run, the policy's samples above all, is untrusted and is shown as text. Pure.
std::string RenderReport(const RecordedRun& run);

// Reads `run_directory` and writes its page to `out`, replacing it in one step. A run with missing or broken files
// still gets a page, which says what is missing. NotFound: no such directory; else the errors of WriteFileAtomic.
absl::Status WriteReport(const std::filesystem::path& run_directory, const std::filesystem::path& out);

}  // namespace evilmoe
