#include "common/zstd_text.h"

#include <zstd.h>

#include <memory>

#include "absl/strings/str_cat.h"

namespace evilmoe {

absl::StatusOr<std::string> UnpackZstd(std::string_view packed, size_t max_bytes) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  if (context == nullptr) return absl::ResourceExhaustedError("zstd: no memory");
  std::string text, chunk(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  size_t expected = 1;  // 0: a frame has ended
  while (in.pos < in.size) {
    ZSTD_outBuffer out{chunk.data(), chunk.size(), 0};
    expected = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(expected)) return absl::DataLossError(absl::StrCat("zstd: ", ZSTD_getErrorName(expected)));
    text.append(chunk.data(), out.pos);
    if (text.size() > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", max_bytes, " bytes when unpacked"));
    }
  }
  if (expected != 0) return absl::DataLossError("zstd: the file ends within a frame");
  return text;
}

}  // namespace evilmoe
