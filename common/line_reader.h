#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace evilmoe {

// Reads a text file, plain or gzip, line by line. Holds one line, and of a line that is too long nothing.
class LineReader {
 public:
  struct Limits {
    size_t max_line_bytes = size_t{16} << 20;
    size_t max_file_bytes = size_t{1} << 30;  // of the text, unpacked
  };
  struct Line {
    int64_t number = 0;     // from 1
    std::string_view text;  // without its end ("\n" or "\r\n"); valid until the next Next(); empty when it is too long
    bool too_long = false;  // over max_line_bytes
    bool cut = false;       // the file ends in it: no newline follows
  };

  // NotFound, Unavailable; the message names the path.
  static absl::StatusOr<LineReader> Open(const std::filesystem::path& path, Limits limits);
  static absl::StatusOr<LineReader> Open(const std::filesystem::path& path) { return Open(path, Limits()); }

  // nullopt at the end. ResourceExhausted: over max_file_bytes. DataLoss: gzip data that is damaged or cut short.
  // Unavailable: the read failed. Messages name the path and the line.
  absl::StatusOr<std::optional<Line>> Next();

 private:
  struct Stream;
  struct CloseStream {
    void operator()(Stream* stream) const;
  };
  LineReader(std::filesystem::path path, Limits limits, std::unique_ptr<Stream, CloseStream> stream);
  absl::Status Fill();
  void Append(std::string_view part);
  absl::Status Failed(absl::StatusCode code, std::string_view why) const;

  std::filesystem::path path_;
  Limits limits_;
  std::unique_ptr<Stream, CloseStream> stream_;
  std::string buffer_;  // read and not yet given out, from at_
  size_t at_ = 0;
  bool ended_ = false;
  size_t num_bytes_ = 0;
  int64_t number_ = 0;
  std::string line_;
  bool too_long_ = false;
};

}  // namespace evilmoe
