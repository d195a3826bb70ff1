#include "common/yaml_field.h"

#include <charconv>

#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

std::string ShowYamlValue(const std::string& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}
std::string ShowYamlValue(int64_t value) { return absl::StrCat(value); }
std::string ShowYamlValue(uint64_t value) { return absl::StrCat(value); }
std::string ShowYamlValue(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, error == std::errc() ? end : buffer);
}

std::string CutYamlValue(std::string shown) {
  if (shown.size() <= kMaxShownBytes) return shown;
  size_t end = kMaxShownBytes;
  while (end > 0 && (static_cast<unsigned char>(shown[end]) & 0xc0) == 0x80) --end;  // no half of a character
  return shown.substr(0, end) + "...";
}

std::string JoinChoices(const std::vector<std::string>& choices) {
  if (choices.size() < 2) return choices.empty() ? "" : choices[0];
  return absl::StrCat(absl::StrJoin(choices.begin(), choices.end() - 1, ", "), " or ", choices.back());
}

}  // namespace evilmoe
