#pragma once

#include <string>

namespace evilmoe {

// One turn of a chat. role: system | user | assistant.
struct Message {
  std::string role;
  std::string content;
};

}  // namespace evilmoe
