#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace evilmoe {

// What is wrong with the lines of a file, as one message: "line 3: ...", one a line. A file that is not what it should
// be at all must not flood the terminal, so the message stops after 50.
class LineComplaints {
 public:
  void Add(int64_t line, std::string_view text);
  void Add(int64_t line, const absl::Status& status) {
    Add(line, std::string_view(status.message().data(), status.message().size()));
  }
  bool empty() const { return count_ == 0; }
  std::string Text() const;

 private:
  size_t count_ = 0;
  std::string text_;
};

}  // namespace evilmoe
