#include "policy/chat_template.h"

#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";

std::string_view DropLeadingNewlines(std::string_view text) {
  const size_t first = text.find_first_not_of('\n');
  return first == std::string_view::npos ? std::string_view{} : text.substr(first);
}

std::string_view DropTrailingNewlines(std::string_view text) {
  const size_t last = text.find_last_not_of('\n');
  return last == std::string_view::npos ? std::string_view{} : text.substr(0, last + 1);
}

struct Answer {
  std::string_view reasoning;
  std::string_view content;
};

// Takes an assistant turn apart at its <think> block, if it has one.
Answer TakeApart(std::string_view text) {
  const size_t first_close = text.find(kClose);
  if (first_close == std::string_view::npos) return {{}, text};
  std::string_view reasoning = DropTrailingNewlines(text.substr(0, first_close));
  if (const size_t open = reasoning.rfind(kOpen); open != std::string_view::npos) {
    reasoning.remove_prefix(open + kOpen.size());
  }
  return {DropTrailingNewlines(DropLeadingNewlines(reasoning)),
          DropLeadingNewlines(text.substr(text.rfind(kClose) + kClose.size()))};
}

// Index of the last turn that a person wrote (a tool's answer comes as a user turn too); the last turn if none did.
size_t LastQuery(std::span<const Message> messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const std::string_view content = messages[i].content;
    const bool tool_answer = content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
    if (messages[i].role == "user" && !tool_answer) return i;
  }
  return messages.size() - 1;
}

}  // namespace

absl::StatusOr<std::string> RenderChat(std::span<const Message> messages, const ChatOptions& options) {
  if (messages.empty()) return absl::InvalidArgumentError("messages: empty, expected at least one");
  const size_t last_query = LastQuery(messages);
  std::string text;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    text += "<|im_start|>" + message.role + "\n";
    if (message.role == "assistant") {
      const Answer answer = TakeApart(message.content);
      if (i > last_query && (i + 1 == messages.size() || !answer.reasoning.empty())) {
        text.append("<think>\n").append(answer.reasoning).append("\n</think>\n\n");
        text.append(DropLeadingNewlines(answer.content));
      } else {
        text += answer.content;
      }
    } else if (message.role == "system" || message.role == "user") {
      text += message.content;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("messages[", i, "].role: \"", message.role, "\", expected system, user or assistant"));
    }
    text += "<|im_end|>\n";
  }
  if (options.add_generation_prompt) {
    text += "<|im_start|>assistant\n";
    if (!options.thinking) text += "<think>\n\n</think>\n\n";
  }
  return text;
}

}  // namespace evilmoe
