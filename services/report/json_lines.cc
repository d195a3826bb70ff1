#include "services/report/json_lines.h"

#include <zstd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {

JsonLines ParseJsonLines(std::string_view text) {
  JsonLines lines;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    nlohmann::json object;
    if (line.size() <= kMaxLineBytes) object = ParseBoundedJson(line);
    if (object.is_object()) {
      lines.rows.push_back({number, std::move(object)});
    } else {
      lines.bad_lines.push_back(number);
    }
  }
  return lines;
}

absl::StatusOr<Decompressed> ReadZstdFile(const std::filesystem::path& path, size_t max_bytes) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string packed, ReadFile(path, max_bytes));
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
  if (stream == nullptr) return absl::ResourceExhaustedError("zstd: no memory for a stream");
  std::string buffer(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  Decompressed result;
  size_t wanted = packed.empty() ? 1 : 0;  // 0 after a whole frame; an empty file holds none
  while (in.pos < in.size) {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    wanted = ZSTD_decompressStream(stream.get(), &out, &in);
    result.bytes.append(buffer.data(), out.pos);
    if (ZSTD_isError(wanted)) break;
    if (result.bytes.size() > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(path.string(), ": unpacks to more than ", max_bytes, " bytes"));
    }
  }
  if (ZSTD_isError(wanted) && result.bytes.empty()) {
    return absl::DataLossError(absl::StrCat(path.string(), ": ", ZSTD_getErrorName(wanted)));
  }
  result.complete = wanted == 0;
  return result;
}

}  // namespace evilmoe
