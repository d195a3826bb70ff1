#include "common/message.h"

#include "absl/strings/str_cat.h"

namespace evilmoe {

using nlohmann::json;

absl::StatusOr<std::vector<Message>> ReadMessages(const json& array) {
  if (!array.is_array()) return absl::InvalidArgumentError("messages: not an array of {role, content}");
  std::vector<Message> messages;
  for (const json& entry : array) {
    const json role = entry.is_object() ? entry.value("role", json()) : json();
    const json content = entry.is_object() ? entry.value("content", json()) : json();
    if (!role.is_string() || !content.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat("messages[", messages.size(), "]: expected {\"role\": text, \"content\": text}"));
    }
    messages.push_back({role.get<std::string>(), content.get<std::string>()});
  }
  return messages;
}

}  // namespace evilmoe
