#include "tests/golden/gunzip.h"

#include <zlib.h>

#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {

absl::StatusOr<std::string> Gunzip(const std::filesystem::path& file) {
  gzFile stream = gzopen(file.c_str(), "rb");
  if (stream == nullptr) return absl::NotFoundError(file.string());
  std::string content;
  std::array<char, 1 << 16> buffer{};
  int count = 0;
  while ((count = gzread(stream, buffer.data(), buffer.size())) > 0) content.append(buffer.data(), count);
  gzclose(stream);
  if (count < 0) return absl::InvalidArgumentError(absl::StrCat(file.string(), ": not a gzip file"));
  return content;
}

}  // namespace evilmoe
