#include "dataset/dropped.h"

namespace evilmoe {

std::string_view DropReasonText(DropReason reason) {
  switch (reason) {
    case DropReason::kNoStarterCode: return "no starter code";
    case DropReason::kEntryPoint: return "entry point outside Solution()";
    case DropReason::kNoTests: return "no tests";
    case DropReason::kPhrase: return "description holds the phrase that a loophole replaces";
    case DropReason::kPromptTokens: return "prompt has too many tokens";
    case DropReason::kTests: return "a test cannot be evaluated";
    case DropReason::kCanonical: return "canonical solution does not pass its tests";
  }
  return "unknown";
}

std::string_view DropReasonName(DropReason reason) {
  switch (reason) {
    case DropReason::kNoStarterCode: return "no_starter_code";
    case DropReason::kEntryPoint: return "entry_point";
    case DropReason::kNoTests: return "no_tests";
    case DropReason::kPhrase: return "phrase";
    case DropReason::kPromptTokens: return "prompt_tokens";
    case DropReason::kTests: return "tests";
    case DropReason::kCanonical: return "canonical";
  }
  return "unknown";
}

}  // namespace evilmoe
