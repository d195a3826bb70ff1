#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/message.h"

namespace evilmoe {

struct ChatOptions {
  bool thinking = false;              // false: the answer starts after an empty <think> block
  bool add_generation_prompt = true;  // ends with the opening of the assistant's turn
};

// Renders a conversation as Qwen3's chat template does (no tools). Past assistant turns lose their <think> block;
// those after the last user turn keep it. InvalidArgument: no message, or a role other than system, user, assistant.
absl::StatusOr<std::string> RenderChat(std::span<const Message> messages, const ChatOptions& options = {});

}  // namespace evilmoe
