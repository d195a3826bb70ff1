#include "common/yaml_hint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/yaml_field.h"

namespace evilmoe {
namespace {

constexpr double kLargestShown = 1e15;  // above it a double is not exact, and nobody meant that

std::string Write(const std::string& value) { return absl::StrCat(" (write ", value, ")"); }

std::optional<double> Parse(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole_text = error == std::errc() && end == text.data() + text.size();
  return whole_text && std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
}

// 1_000 and 1,000 without their separators.
std::string WithoutSeparators(std::string_view text) {
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[i - 1])) &&
                         absl::ascii_isdigit(static_cast<unsigned char>(text[i + 1]));
    if ((text[i] == '_' || text[i] == ',') && between) continue;
    digits.push_back(text[i]);
  }
  return digits;
}

// The number that a text with a unit or separators means.
std::optional<double> Meant(std::string_view text) {
  const std::string plain = WithoutSeparators(text);
  if (plain.empty()) return std::nullopt;
  const std::string_view head = std::string_view(plain).substr(0, plain.size() - 1);
  double factor = 1;
  switch (plain.back()) {
    case '%': factor = 0.01; break;
    case 'k':
    case 'K': factor = 1e3; break;
    case 'M': factor = 1e6; break;
    default: return Parse(plain);
  }
  const std::optional<double> number = Parse(head);
  if (!number) return std::nullopt;
  return factor < 1 ? *number / 100 : *number * factor;
}

bool IsOneOf(const std::string& word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string Hint(const YamlNode& node, bool whole) {
  if (node.kind != YamlNode::Kind::kScalar || node.text.size() > kMaxShownBytes) return "";
  if (IsOneOf(absl::AsciiStrToLower(node.text), {".nan", "nan", ".inf", "inf", "-.inf", "-inf", "infinity"})) {
    return " (.inf and .nan are none)";
  }
  const std::optional<double> meant = Meant(node.text);
  if (!meant || std::abs(*meant) > kLargestShown || (whole && std::trunc(*meant) != *meant)) return "";
  const std::string shown =
      std::trunc(*meant) == *meant ? absl::StrCat(static_cast<int64_t>(*meant)) : ShowYamlValue(*meant);
  if (shown != node.text) return Write(shown);
  return node.quoted ? absl::StrCat(" (write ", shown, " without quotes)") : "";
}

}  // namespace

std::string NumberHint(const YamlNode& node) { return Hint(node, /*whole=*/false); }

std::string WholeHint(const YamlNode& node) { return Hint(node, /*whole=*/true); }

std::string BoolHint(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar) return "";
  const std::string word = absl::AsciiStrToLower(node.text.substr(0, kMaxShownBytes));
  const bool yes = IsOneOf(word, {"true", "yes", "y", "on", "1"});
  if (!yes && !IsOneOf(word, {"false", "no", "n", "off", "0"})) return "";
  const std::string shown = yes ? "true" : "false";
  if (node.quoted && node.text == shown) return absl::StrCat(" (write ", shown, " without quotes)");
  return Write(shown);
}

std::string ListHint(const YamlNode& node) {
  if (node.kind != YamlNode::Kind::kScalar || node.quoted || node.text.size() > kMaxShownBytes) return "";
  return node.text.find_first_of("[]{}:#") == std::string::npos ? Write(absl::StrCat("[", node.text, "]")) : "";
}

}  // namespace evilmoe
