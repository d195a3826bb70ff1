#include "policy/tokenizer_tables.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "policy/nfc.h"
#include "policy/utf8.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxId = int64_t{1} << 22;  // bounds the table that an id can make us allocate
// What a ByteLevel pre-tokenizer with use_regex splits by (GPT-2's pattern).
constexpr char kByteLevelPattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 100) text = text.substr(0, 97) + "...";
  return text;
}

absl::Status Refused(const std::string& field, const Json& value, const std::string& expected) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", Shown(value), ", expected ", expected));
}

// The member, or null when `json` is no object or has none.
const Json& At(const Json& json, const char* key) {
  static const Json null;
  if (!json.is_object()) return null;
  const auto found = json.find(key);
  return found == json.end() ? null : *found;
}

bool Is(const Json& json, const char* key, const char* wanted) { return At(json, key) == wanted; }
bool IsTrue(const Json& json, const char* key) { return At(json, key) == true; }

bool IsId(const Json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() < static_cast<uint64_t>(kMaxId);
}

absl::Status NoId(const std::string& field, const Json& value) {
  return Refused(field, value, absl::StrCat("an id in [0, ", kMaxId, ")"));
}

// The 256 printable characters that byte-level BPE writes bytes with (GPT-2's table).
class ByteAlphabet {
 public:
  ByteAlphabet() {
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
      characters_[byte] = printable ? static_cast<char32_t>(byte) : next++;
      bytes_.emplace(characters_[byte], static_cast<char>(byte));
    }
  }

  std::string Character(int byte) const { return EncodeUtf8(characters_[byte]); }

  // The bytes that a token stands for; one with a foreign character stands for its own text.
  std::string Decode(const std::string& spelling) const {
    std::string bytes;
    for (size_t i = 0; i < spelling.size();) {
      const Utf8Step step = NextUtf8(spelling, i);
      const auto found = bytes_.find(step.code_point);
      if (found == bytes_.end()) return spelling;
      bytes += found->second;
      i += step.bytes;
    }
    return bytes;
  }

 private:
  std::array<char32_t, 256> characters_{};
  absl::flat_hash_map<char32_t, char> bytes_;
};

absl::Status SetToken(TokenizerTables& tables, const std::string& spelling, int32_t id, TokenKind kind) {
  static const ByteAlphabet alphabet;
  if (tables.tokens.size() <= static_cast<size_t>(id)) tables.tokens.resize(static_cast<size_t>(id) + 1);
  Token& token = tables.tokens[id];
  const auto [entry, is_new] = tables.spellings.emplace(spelling, id);
  if (entry->second != id || (is_new && token.kind != TokenKind::kNone)) {
    return Refused("token", spelling, absl::StrCat("one id for one token, not also ", id));
  }
  token.bytes = alphabet.Decode(spelling);
  token.kind = kind;
  return absl::OkStatus();
}

absl::Status ReadVocabulary(const Json& model, TokenizerTables& tables) {
  const Json& vocab = At(model, "vocab");
  if (!vocab.is_object()) return Refused("model.vocab", vocab, "an object {token: id}");
  for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
    if (!IsId(*entry)) return NoId("model.vocab." + Shown(entry.key()), *entry);
    EVILMOE_RETURN_IF_ERROR(SetToken(tables, entry.key(), entry->get<int32_t>(), TokenKind::kVocabulary));
  }
  const ByteAlphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = tables.spellings.find(alphabet.Character(byte));
    if (found == tables.spellings.end()) {
      return Refused("model.vocab", alphabet.Character(byte), "a token for each of the 256 bytes; this one is missing");
    }
    tables.byte_ids[byte] = found->second;
  }
  return absl::OkStatus();
}

// A merge is ["a", "b"] or, in older files, "a b".
std::optional<std::pair<std::string, std::string>> MergePair(const Json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (merge.is_string()) {
    const std::string text = merge.get<std::string>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return std::pair(text.substr(0, space), text.substr(space + 1));
    }
  }
  return std::nullopt;
}

absl::Status ReadMerges(const Json& model, TokenizerTables& tables) {
  const Json& merges = At(model, "merges");
  if (!merges.is_array()) return Refused("model.merges", merges, "an array of pairs");
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto refuse = [&](const char* expected) {
      return Refused(absl::StrCat("model.merges[", rank, "]"), merges[rank], expected);
    };
    const auto pair = MergePair(merges[rank]);
    if (!pair.has_value()) return refuse("[\"a\", \"b\"] or \"a b\"");
    const auto left = tables.spellings.find(pair->first);
    const auto right = tables.spellings.find(pair->second);
    const auto merged = tables.spellings.find(pair->first + pair->second);
    const auto none = tables.spellings.end();
    if (left == none || right == none || merged == none) return refuse("both parts and their join in model.vocab");
    tables.merges.Add(left->second, right->second, merged->second, static_cast<int32_t>(rank));
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const Json& model, TokenizerTables& tables) {
  // Files written before model.type existed have none.
  if (!At(model, "type").is_null() && !Is(model, "type", "BPE")) {
    return Refused("model.type", At(model, "type"), "\"BPE\"");
  }
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& value = At(model, key);
    if (!value.is_null() && value != "" && value != 0) {
      return Refused(absl::StrCat("model.", key), value, "null (nothing else is implemented)");
    }
  }
  if (IsTrue(model, "byte_fallback")) return Refused("model.byte_fallback", true, "false");
  tables.ignore_merges = IsTrue(model, "ignore_merges");
  EVILMOE_RETURN_IF_ERROR(ReadVocabulary(model, tables));
  return ReadMerges(model, tables);
}

absl::Status ReadAddedTokens(const Json& added, TokenizerTables& tables) {
  if (added.is_null()) return absl::OkStatus();
  if (!added.is_array()) return Refused("added_tokens", added, "an array");
  for (size_t i = 0; i < added.size(); ++i) {
    const Json& token = added[i];
    const std::string field = absl::StrCat("added_tokens[", i, "]");
    const Json& content = At(token, "content");
    if (!content.is_string() || content == "") return Refused(field + ".content", content, "a text");
    if (!IsId(At(token, "id"))) return NoId(field + ".id", At(token, "id"));
    const int32_t id = At(token, "id").get<int32_t>();
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (IsTrue(token, key)) return Refused(absl::StrCat(field, ".", key), true, "false (true is not implemented)");
    }
    const auto text = content.get<std::string>();
    const bool special = IsTrue(token, "special");
    EVILMOE_RETURN_IF_ERROR(SetToken(tables, text, id, special ? TokenKind::kSpecial : TokenKind::kAdded));
    if (IsTrue(token, "normalized")) {
      tables.normalized_added.Add(tables.nfc ? ToNfc(text) : text, id);
    } else {
      tables.raw_added.Add(text, id);
    }
  }
  return absl::OkStatus();
}

absl::Status ReadNormalizer(const Json& normalizer, TokenizerTables& tables) {
  if (normalizer.is_null()) return absl::OkStatus();
  if (!Is(normalizer, "type", "NFC")) return Refused("normalizer", normalizer, "NFC or null");
  tables.nfc = true;
  return absl::OkStatus();
}

absl::Status SetPattern(std::string_view regex, TokenizerTables& tables) {
  if (tables.pattern.has_value()) {
    return absl::InvalidArgumentError("pre_tokenizer: two split patterns, expected one at most");
  }
  EVILMOE_ASSIGN_OR_RETURN(tables.pattern, SplitPattern::Compile(regex));
  return absl::OkStatus();
}

absl::Status ReadSplit(const Json& step, TokenizerTables& tables) {
  const Json& regex = At(At(step, "pattern"), "Regex");
  if (!regex.is_string()) return Refused("pre_tokenizer.pattern", At(step, "pattern"), "{\"Regex\": \"...\"}");
  if (!Is(step, "behavior", "Isolated") || IsTrue(step, "invert")) {
    return Refused("pre_tokenizer", step, "behavior \"Isolated\" and invert false");
  }
  return SetPattern(regex.get_ref<const std::string&>(), tables);
}

absl::Status ReadPreTokenizer(const Json& pre_tokenizer, TokenizerTables& tables) {
  const bool sequence = Is(pre_tokenizer, "type", "Sequence");
  Json steps = sequence ? At(pre_tokenizer, "pretokenizers") : Json::array({pre_tokenizer});
  if (!steps.is_array() || steps.empty() || !Is(steps.back(), "type", "ByteLevel")) {
    return Refused("pre_tokenizer", pre_tokenizer, "ByteLevel, or a Sequence that ends with it");
  }
  const Json byte_level = std::move(steps.back());
  steps.erase(steps.size() - 1);
  for (const Json& step : steps) {
    if (!Is(step, "type", "Split")) return Refused("pre_tokenizer", step, "Split");
    EVILMOE_RETURN_IF_ERROR(ReadSplit(step, tables));
  }
  // Both default to true in files that leave them out.
  if (At(byte_level, "add_prefix_space") != false) {
    return Refused("pre_tokenizer.add_prefix_space", At(byte_level, "add_prefix_space"), "false");
  }
  if (At(byte_level, "use_regex") == false) return absl::OkStatus();
  return SetPattern(kByteLevelPattern, tables);
}

absl::Status RefuseTheRest(const Json& json) {
  for (const char* key : {"truncation", "padding"}) {
    if (!At(json, key).is_null()) return Refused(key, At(json, key), "null");
  }
  const Json& post = At(json, "post_processor");
  if (!post.is_null() && !Is(post, "type", "ByteLevel")) return Refused("post_processor", post, "ByteLevel or null");
  if (!Is(At(json, "decoder"), "type", "ByteLevel")) return Refused("decoder", At(json, "decoder"), "ByteLevel");
  return absl::OkStatus();
}

}  // namespace

void LiteralTokens::Add(std::string text, int32_t id) {
  EVILMOE_CHECK(!text.empty());
  empty_ = false;
  auto& literals = by_first_byte_[static_cast<unsigned char>(text[0])];
  const auto place = std::find_if(literals.begin(), literals.end(),
                                  [&](const Literal& other) { return other.text.size() < text.size(); });
  literals.insert(place, {std::move(text), id});
}

std::optional<LiteralTokens::Hit> LiteralTokens::Next(std::string_view text, size_t from) const {
  for (size_t i = from; i < text.size(); ++i) {
    for (const Literal& literal : by_first_byte_[static_cast<unsigned char>(text[i])]) {
      if (text.compare(i, literal.text.size(), literal.text) == 0) return Hit{i, i + literal.text.size(), literal.id};
    }
  }
  return std::nullopt;
}

absl::StatusOr<TokenizerTables> ParseTokenizerJson(std::string_view text) {
  const Json json = ParseBoundedJson(text);
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object; expected a Hugging Face tokenizer.json");
  TokenizerTables tables;
  EVILMOE_RETURN_IF_ERROR(RefuseTheRest(json));
  EVILMOE_RETURN_IF_ERROR(ReadNormalizer(At(json, "normalizer"), tables));
  EVILMOE_RETURN_IF_ERROR(ReadPreTokenizer(At(json, "pre_tokenizer"), tables));
  EVILMOE_RETURN_IF_ERROR(ReadModel(At(json, "model"), tables));
  EVILMOE_RETURN_IF_ERROR(ReadAddedTokens(At(json, "added_tokens"), tables));
  if (tables.ignore_merges) {
    for (size_t id = 0; id < tables.tokens.size(); ++id) {
      if (tables.tokens[id].kind == TokenKind::kVocabulary) {
        tables.by_bytes.emplace(tables.tokens[id].bytes, static_cast<int32_t>(id));
      }
    }
  }
  return tables;
}

}  // namespace evilmoe
