#include "dataset/prompt_tokens.h"

#include <string>

#include "common/status_macros.h"
#include "policy/chat_template.h"

namespace evilmoe {

absl::StatusOr<size_t> CountPromptTokens(const std::vector<Message>& prompt, const Tokenizer& tokenizer) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, RenderChat(prompt));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer.Encode(text));
  return ids.size();
}

}  // namespace evilmoe
