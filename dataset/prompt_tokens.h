#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "common/message.h"
#include "policy/tokenizer.h"

namespace evilmoe {

// Tokens of a prompt as a run shows it to the model: in the chat template, thinking off, up to where the answer begins.
absl::StatusOr<size_t> CountPromptTokens(const std::vector<Message>& prompt, const Tokenizer& tokenizer);

}  // namespace evilmoe
