#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/security/role.h"

namespace evilmoe {

// Whom a server lets in. The file is a YAML list, and holds no token, only hashes of them:
//
//   - {name: alice, role: submit, sha256: 9f86d081...}
struct TokenEntry {
  std::string name;    // for messages and logs; [A-Za-z0-9._-], 1 to 64 of them
  Role role = Role::kRead;
  std::string sha256;  // of the token, 64 lower-case hex digits
};

class TokenTable {
 public:
  static constexpr size_t kMaxTokens = 1000;
  static constexpr size_t kMaxTokenBytes = 512;

  // InvalidArgument: one line a problem, with its place in `file_name`. An empty list is fine and lets nobody in; an
  // empty file, as an editor may leave it for a moment, is not.
  static absl::StatusOr<TokenTable> Parse(std::string_view yaml, const std::string& file_name);

  // Whose token it is; nullptr: nobody's. How long it takes tells nothing about the tokens: every hash is compared,
  // each in constant time.
  const TokenEntry* Find(std::string_view token) const;

  const std::vector<TokenEntry>& entries() const { return entries_; }

 private:
  std::vector<TokenEntry> entries_;
};

}  // namespace evilmoe
