#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// One turn of a chat. role: system | user | assistant.
struct Message {
  std::string role;
  std::string content;
};

// [{"role": text, "content": text}, ...]; the roles are not looked at. InvalidArgument names the entry: messages[1]: ...
absl::StatusOr<std::vector<Message>> ReadMessages(const nlohmann::json& array);

}  // namespace evilmoe
