#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct pcre2_real_code_8;

namespace evilmoe {

// The regular expression of a tokenizer.json that cuts text into the pieces that merges may not cross.
// PCRE2 (with JIT) stands in for Oniguruma: \s means Unicode White_Space, \p{L} and \p{N} the letters and numbers of
// Unicode 16 in both.
// Thread-safe; copies share the compiled pattern.
class SplitPattern {
 public:
  // InvalidArgument: PCRE2 refuses it, or it uses a class that the two libraries read differently.
  static absl::StatusOr<SplitPattern> Compile(std::string_view regex);

  // Appends the matches and what lies between them, in order; together they are `text`. Requires UTF-8.
  // ResourceExhausted: PCRE2's match limit.
  absl::Status Split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  SplitPattern() = default;

  std::shared_ptr<const pcre2_real_code_8> code_;
  std::shared_ptr<const pcre2_real_code_8> newer_code_;  // for texts with characters newer than PCRE2's tables
};

}  // namespace evilmoe
