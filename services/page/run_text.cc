#include "services/page/run_text.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/run_files.h"

namespace evilmoe {

absl::StatusOr<std::string> ReadRunText(const std::string& directory, const std::string& path, size_t max_bytes) {
  std::string text;
  bool fits = true;
  const absl::Status status = ReadFileBeneath(directory, path, 0, [&](std::string_view chunk, int64_t size) {
    fits = static_cast<size_t>(size) <= max_bytes;
    if (fits) text.append(chunk);
    return fits;
  });
  if (!fits) return absl::ResourceExhaustedError(absl::StrCat(path, ": has more than ", max_bytes, " bytes"));
  EVILMOE_RETURN_IF_ERROR(status);
  return text;
}

}  // namespace evilmoe
