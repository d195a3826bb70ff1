#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "policy/bpe.h"
#include "policy/split_pattern.h"

namespace evilmoe {

// Finds the tokens that are looked up as literal text.
class LiteralTokens {
 public:
  struct Hit {
    size_t begin;
    size_t end;
    int32_t id;
  };
  // Requires a non-empty text.
  void Add(std::string text, int32_t id);
  // The leftmost hit at or after `from`, the longest of those that begin there.
  std::optional<Hit> Next(std::string_view text, size_t from) const;
  bool empty() const { return empty_; }

 private:
  struct Literal {
    std::string text;
    int32_t id;
  };
  std::array<std::vector<Literal>, 256> by_first_byte_;  // each longest first
  bool empty_ = true;
};

enum class TokenKind : uint8_t { kNone, kVocabulary, kAdded, kSpecial };

struct Token {
  std::string bytes;  // what it decodes to
  TokenKind kind = TokenKind::kNone;
};

// A tokenizer.json, checked and laid out for use. Read-only after ParseTokenizerJson.
struct TokenizerTables {
  bool nfc = false;
  bool ignore_merges = false;           // a piece that is a token itself is not taken apart
  std::optional<SplitPattern> pattern;  // none: the whole text is one piece
  LiteralTokens raw_added;              // matched before normalisation
  LiteralTokens normalized_added;       // matched after it
  std::array<int32_t, 256> byte_ids{};  // token of each single byte
  BpeMerges merges;
  std::vector<Token> tokens;                            // by id
  absl::flat_hash_map<std::string, int32_t> spellings;  // as tokenizer.json writes them
  absl::flat_hash_map<std::string, int32_t> by_bytes;   // filled only with ignore_merges
};

// InvalidArgument: one line that names the field and what was expected.
absl::StatusOr<TokenizerTables> ParseTokenizerJson(std::string_view json);

}  // namespace evilmoe
