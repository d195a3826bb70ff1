#include "proto/security/token_table.h"

#include <openssl/crypto.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/hash.h"
#include "common/shown_text.h"
#include "common/yaml_reader.h"
#include "common/yaml_tree.h"

namespace evilmoe {
namespace {

constexpr size_t kSha256Digits = 64;
constexpr size_t kMaxNameBytes = 64;
constexpr char kNameCharacters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
constexpr char kEntryShape[] = "{name: alice, role: read | submit | admin | worker, sha256: 64 hex digits}";

class Parser {
 public:
  explicit Parser(const std::string& file_name) : file_name_(file_name) {}

  std::vector<TokenEntry> List(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kList) {
      Say(root.place, "", absl::StrCat("expected a list of ", kEntryShape));
      return {};
    }
    if (root.items.size() > TokenTable::kMaxTokens) {
      Say(root.place, "",
          absl::StrCat("got ", root.items.size(), " tokens, expected at most ", TokenTable::kMaxTokens));
      return {};
    }
    std::vector<TokenEntry> entries;
    for (const YamlNode& item : root.items) entries.push_back(Entry(item));
    return entries;
  }

  void Say(const YamlPlace& place, std::string_view field, const std::string& text) {
    lines_.push_back(absl::StrCat(file_name_, ":", place.line, ":", place.column, ": ", std::string(field),
                                  field.empty() ? "" : ": ", text));
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  TokenEntry Entry(const YamlNode& item) {
    TokenEntry entry;
    if (item.kind != YamlNode::Kind::kMap) {
      Say(item.place, "", absl::StrCat("expected ", kEntryShape));
      return entry;
    }
    const std::string role = Text(item, "role");
    entry.name = Text(item, "name");
    entry.sha256 = absl::AsciiStrToLower(Text(item, "sha256"));
    for (const YamlMember& member : item.members) {
      if (member.key != "name" && member.key != "role" && member.key != "sha256") {
        Say(member.place, member.key, "unknown key, expected name, role and sha256");
      }
    }
    Check(item, entry, role);
    return entry;
  }

  void Check(const YamlNode& item, TokenEntry& entry, const std::string& role) {
    const bool plain = entry.name.find_first_not_of(kNameCharacters) == std::string::npos;
    if (entry.name.empty() || entry.name.size() > kMaxNameBytes || !plain) {
      Say(item.place, "name", absl::StrCat("got ", ShownText(entry.name, kMaxNameBytes),
                                           ", expected 1 to 64 letters, digits, dots, dashes or underscores"));
    } else if (!names_.insert(entry.name).second) {
      Say(item.place, "name", absl::StrCat(entry.name, " stands twice, expected one entry a name"));
    }
    if (const std::optional<Role> known = ParseRole(role)) {
      entry.role = *known;
    } else {
      Say(item.place, "role", absl::StrCat("got ", ShownText(role, 32), ", expected read, submit, admin or worker"));
    }
    // Not shown: it may be the token itself.
    if (entry.sha256.size() != kSha256Digits ||
        entry.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
      Say(item.place, "sha256", "expected 64 hex digits: printf %s TOKEN | sha256sum");
    } else if (!hashes_.insert(entry.sha256).second) {
      Say(item.place, "sha256", "stands twice, expected a token of its own for each name");
    }
  }

  static std::string Text(const YamlNode& item, std::string_view key) {
    const YamlMember* member = item.Find(key);
    return member == nullptr || member->value.kind != YamlNode::Kind::kScalar ? std::string() : member->value.text;
  }

  const std::string file_name_;
  std::vector<std::string> lines_;
  std::set<std::string> names_, hashes_;
};

}  // namespace

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view yaml, const std::string& file_name) {
  std::vector<YamlProblem> problems;
  const YamlNode root = ParseYamlTree(yaml, problems);
  Parser parser(file_name);
  for (const YamlProblem& problem : problems) parser.Say(problem.place, "", problem.text);
  TokenTable table;
  if (problems.empty()) table.entries_ = parser.List(root);
  if (parser.lines().empty()) return table;
  return absl::InvalidArgumentError(absl::StrJoin(parser.lines(), "\n"));
}

const TokenEntry* TokenTable::Find(std::string_view token) const {
  if (token.empty() || token.size() > kMaxTokenBytes) return nullptr;
  const std::string sha256 = Sha256Hex(token);
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries_) {
    if (CRYPTO_memcmp(entry.sha256.data(), sha256.data(), kSha256Digits) == 0) found = &entry;
  }
  return found;
}

}  // namespace evilmoe
