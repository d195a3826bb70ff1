#include "common/yaml_writer.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"

namespace evilmoe {
namespace {

// Text that every YAML reader takes for text without quotes.
bool IsPlain(const std::string& text) {
  if (text.empty() || !(absl::ascii_isalpha(static_cast<unsigned char>(text[0])) || text[0] == '/')) return false;
  static constexpr std::string_view kWords[] = {"true", "false", "null", "yes", "no",  "on",
                                                "off",  "y",     "n",    "nan", "inf", "infinity"};
  if (std::find(std::begin(kWords), std::end(kWords), absl::AsciiStrToLower(text)) != std::end(kWords)) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' || c == '/';
  });
}

}  // namespace

void YamlWriter::Line(std::string_view name, const std::string& value) {
  absl::StrAppend(out_, indent_, std::string(name), value.empty() ? ":" : ": ", value, "\n");
}

// 7e-05 is a number in YAML 1.2 and text in YAML 1.1, which Python reads; 7.0e-05 is one in both.
std::string YamlWriter::Show(double value) {
  std::string text = ShowYamlValue(value);
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) text.insert(exponent, ".0");
  return text;
}

std::string YamlWriter::Show(const std::string& value) { return IsPlain(value) ? value : ShowYamlValue(value); }

std::string YamlWriter::Show(const std::vector<std::pair<std::string, double>>& value) {
  std::string text = "{";
  for (const auto& [name, number] : value) {
    absl::StrAppend(&text, text.size() > 1 ? ", " : "", Show(name), ": ", Show(number));
  }
  return text + "}";
}

}  // namespace evilmoe
