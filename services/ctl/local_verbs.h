#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The verbs that need no coordinator: tokenize, version, completion, and those that sibling binaries do.

struct TokenizeCommand {
  std::filesystem::path tokenizer;
  bool decode = false;
  bool thinking = false;
};
void AddTokenizeOptions(VerbOptions& options, TokenizeCommand& command);

struct CompleteRunsCommand {
  std::string kind = "runs";
};

std::vector<Verb> OfflineVerbs();
std::vector<Verb> MoreVerbs();

}  // namespace evilmoe
