#include "common/line_reader.h"

#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 16;

}  // namespace

struct LineReader::Stream {
  gzFile file = nullptr;  // reads what is not gzip as it is
};

void LineReader::CloseStream::operator()(Stream* stream) const {
  gzclose(stream->file);
  delete stream;
}

LineReader::LineReader(std::filesystem::path path, Limits limits, std::unique_ptr<Stream, CloseStream> stream)
    : path_(std::move(path)), limits_(limits), stream_(std::move(stream)) {}

absl::StatusOr<LineReader> LineReader::Open(const std::filesystem::path& path, Limits limits) {
  errno = 0;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": a folder, expected a file"));
  }
  const gzFile file = gzopen(path.c_str(), "rbe");
  if (file == nullptr) {
    const std::string message = absl::StrCat(path.string(), ": open: ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
  }
  return LineReader(path, limits, std::unique_ptr<Stream, CloseStream>(new Stream{file}));
}

absl::StatusOr<std::optional<LineReader::Line>> LineReader::Next() {
  line_.clear();
  too_long_ = false;
  bool cut = true;
  ++number_;
  while (true) {
    if (at_ == buffer_.size()) {
      if (!ended_) EVILMOE_RETURN_IF_ERROR(Fill());
      if (ended_) break;
    }
    const size_t end = buffer_.find('\n', at_);
    const size_t stop = end == std::string::npos ? buffer_.size() : end;
    Append(std::string_view(buffer_).substr(at_, stop - at_));
    at_ = end == std::string::npos ? stop : end + 1;
    if (end == std::string::npos) continue;
    cut = false;
    break;
  }
  if (cut && line_.empty() && !too_long_) return std::optional<Line>();
  std::string_view text = line_;
  if (text.ends_with('\r')) text.remove_suffix(1);
  return std::optional<Line>(Line{number_, text, too_long_, cut});
}

void LineReader::Append(std::string_view part) {
  if (too_long_ || line_.size() + part.size() > limits_.max_line_bytes) {
    too_long_ = true;
    line_.clear();
    return;
  }
  line_.append(part);
}

absl::Status LineReader::Fill() {
  buffer_.resize(kChunkBytes);
  at_ = 0;
  const int n = gzread(stream_->file, buffer_.data(), kChunkBytes);
  buffer_.resize(n > 0 ? static_cast<size_t>(n) : 0);
  int code = Z_OK;
  const char* why = gzerror(stream_->file, &code);
  if (code == Z_ERRNO) return Failed(absl::StatusCode::kUnavailable, std::strerror(errno));
  if (code == Z_BUF_ERROR) return Failed(absl::StatusCode::kDataLoss, "the gzip data is cut short");
  if (n < 0 || (code != Z_OK && code != Z_STREAM_END)) {
    return Failed(absl::StatusCode::kDataLoss, absl::StrCat("the gzip data is damaged: ", why));
  }
  num_bytes_ += buffer_.size();
  if (num_bytes_ > limits_.max_file_bytes) {
    return Failed(absl::StatusCode::kResourceExhausted,
                  absl::StrCat("the file is larger than ", limits_.max_file_bytes, " bytes"));
  }
  ended_ = n == 0;
  return absl::OkStatus();
}

absl::Status LineReader::Failed(absl::StatusCode code, std::string_view why) const {
  return {code, absl::StrCat(path_.string(), ": line ", number_, ": ", std::string(why))};
}

}  // namespace evilmoe
