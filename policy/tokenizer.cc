#include "policy/tokenizer.h"

#include <deque>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "policy/nfc.h"
#include "policy/tokenizer_tables.h"
#include "policy/utf8.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFileBytes = size_t{256} << 20;

// One Encode() call: its output, and where it has put each distinct piece so that a repeated one is copied.
class Encoding {
 public:
  explicit Encoding(const TokenizerTables& tables) : tables_(tables) {}

  absl::Status Run(std::string_view text) {
    return ForEachSection(tables_.raw_added, text, [&](std::string_view section) {
      if (tables_.nfc && !IsCertainlyNfc(section)) section = normalized_.emplace_back(ToNfc(section));
      return ForEachSection(tables_.normalized_added, section,
                            [&](std::string_view plain) { return EncodePlain(plain); });
    });
  }
  std::vector<int32_t> TakeIds() { return std::move(ids_); }

 private:
  struct Place {
    size_t begin;
    size_t end;
  };

  // Appends the literal tokens of `text` and hands what lies between them to `encode`.
  template <typename F>
  absl::Status ForEachSection(const LiteralTokens& literals, std::string_view text, F&& encode) {
    size_t done = 0;
    while (done < text.size()) {
      const std::optional<LiteralTokens::Hit> hit = literals.empty() ? std::nullopt : literals.Next(text, done);
      const size_t end = hit.has_value() ? hit->begin : text.size();
      if (end > done) EVILMOE_RETURN_IF_ERROR(encode(text.substr(done, end - done)));
      if (!hit.has_value()) break;
      ids_.push_back(hit->id);
      done = hit->end;
    }
    return absl::OkStatus();
  }

  absl::Status EncodePlain(std::string_view text) {
    pieces_.clear();
    if (tables_.pattern.has_value()) {
      EVILMOE_RETURN_IF_ERROR(tables_.pattern->Split(text, pieces_));
    } else {
      pieces_.push_back(text);
    }
    for (const std::string_view piece : pieces_) EncodePiece(piece);
    return absl::OkStatus();
  }

  void EncodePiece(std::string_view piece) {
    const auto [known, is_new] = places_.try_emplace(piece, Place{ids_.size(), ids_.size()});
    if (!is_new) {
      for (size_t i = known->second.begin; i < known->second.end; ++i) ids_.push_back(ids_[i]);
      return;
    }
    if (tables_.ignore_merges) {
      if (const auto whole = tables_.by_bytes.find(absl::string_view(piece.data(), piece.size()));
          whole != tables_.by_bytes.end()) {
        ids_.push_back(whole->second);
        known->second.end = ids_.size();
        return;
      }
    }
    bytes_.clear();
    for (const char byte : piece) bytes_.push_back(tables_.byte_ids[static_cast<unsigned char>(byte)]);
    tables_.merges.Apply(bytes_, ids_);
    known->second.end = ids_.size();
  }

  const TokenizerTables& tables_;
  std::vector<int32_t> ids_;
  std::deque<std::string> normalized_;  // what views of `places_` point into
  absl::flat_hash_map<std::string_view, Place> places_;
  std::vector<std::string_view> pieces_;
  std::vector<int32_t> bytes_;
};

}  // namespace

absl::StatusOr<Tokenizer> Tokenizer::Parse(std::string_view json) {
  EVILMOE_ASSIGN_OR_RETURN(TokenizerTables tables, ParseTokenizerJson(json));
  return Tokenizer(std::make_shared<const TokenizerTables>(std::move(tables)));
}

absl::StatusOr<Tokenizer> Tokenizer::Load(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "tokenizer.json";
  EVILMOE_ASSIGN_OR_RETURN(const std::string json, ReadFile(file, kMaxFileBytes));
  absl::StatusOr<Tokenizer> tokenizer = Parse(json);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), file.string());
  return tokenizer;
}

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text) const {
  if (!IsUtf8(text)) return absl::InvalidArgumentError("text: not UTF-8");
  Encoding encoding(*tables_);
  EVILMOE_RETURN_IF_ERROR(encoding.Run(text));
  return encoding.TakeIds();
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!HasId(id) || (skip_special && IsSpecial(id))) continue;
    bytes += tables_->tokens[id].bytes;
  }
  return ReplaceInvalidUtf8(std::move(bytes));
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  return HasId(id) ? std::string_view(tables_->tokens[id].bytes) : std::string_view();
}

std::optional<int32_t> Tokenizer::IdOf(std::string_view token) const {
  const auto found = tables_->spellings.find(absl::string_view(token.data(), token.size()));
  if (found == tables_->spellings.end()) return std::nullopt;
  return found->second;
}

bool Tokenizer::HasId(int32_t id) const {
  return id >= 0 && id < vocab_size() && tables_->tokens[id].kind != TokenKind::kNone;
}

bool Tokenizer::IsSpecial(int32_t id) const { return HasId(id) && tables_->tokens[id].kind == TokenKind::kSpecial; }

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(tables_->tokens.size()); }

}  // namespace evilmoe
