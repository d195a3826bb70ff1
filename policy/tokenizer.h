#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

struct TokenizerTables;

// Byte-level BPE as a Hugging Face tokenizer.json describes it: NFC, a split pattern, merges, added tokens.
//
// Every text has ids and they decode to its NFC form. Thread-safe; cheap to copy (copies share the tables).
class Tokenizer {
 public:
  // InvalidArgument: what the file asks for and is not implemented, by name, or a table that contradicts itself.
  static absl::StatusOr<Tokenizer> Parse(std::string_view json);

  // `folder`/tokenizer.json. NotFound when there is none; the message names the file.
  static absl::StatusOr<Tokenizer> Load(const std::filesystem::path& folder);

  // Text of added tokens ("<|im_start|>") becomes their ids, as in Hugging Face with split_special_tokens off.
  // InvalidArgument: not UTF-8. ResourceExhausted: the split pattern passed PCRE2's limits on this text.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text) const;

  // Bytes that are not UTF-8 become U+FFFD. An id without a token (models pad their vocabulary) gives nothing.
  // `skip_special` leaves out the added tokens that are marked special.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The bytes that the id decodes to, which need not be whole characters; empty for an id without a token. The view
  // lives as long as any copy of the tokenizer.
  std::string_view TokenBytes(int32_t id) const;

  // Id of a whole token as tokenizer.json spells it ("<|im_end|>", "Ġthe"); nullopt when there is none.
  std::optional<int32_t> IdOf(std::string_view token) const;
  bool HasId(int32_t id) const;
  bool IsSpecial(int32_t id) const;
  // Largest id + 1.
  int32_t vocab_size() const;

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerTables> tables) : tables_(std::move(tables)) {}

  std::shared_ptr<const TokenizerTables> tables_;
};

}  // namespace evilmoe
