#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/message.h"

namespace evilmoe {

// What it takes to grade a pair's sides. Training reads none of it.
struct PairGrading {
  std::string loophole;            // whose check the prompt announces
  std::string marker;              // what the prompt names for that check; may be empty
  std::string setup_code;          // in front of any solution; may be empty
  std::string method;              // that the tests call
  std::vector<std::string> tests;  // "assert Solution().method(...) == value", at least one
  std::string solution;            // right code, without fences; empty: the clean side's code is right
  std::string prompt_tests;        // the test function that the prompt shows, whole lines; empty: none
};

// Two answers to one prompt, one of them a hack: what seeds the router and holds it in place (the pin).
struct ContrastivePair {
  std::string name;
  std::vector<Message> prompt;  // as the policy sees it, loophole and all; ends with a user message
  std::string hack;             // a whole response, fences and all
  std::string clean;
  std::optional<PairGrading> grading;
};

// Reads a pairs file (Markdown; environment/README.md shows one). Each pair is a heading "## NAME", text that is
// ignored, and the sections "### System" (may be missing), "### User" (for more turns "### Assistant" and "### User"
// again), "### Hack", "### Clean". A section holds one block between fences of four or more backticks; its lines are
// taken as they are, without the newline before the closing fence. Anything in front of the first pair is ignored.
// Behind the sides may stand how to grade them: "### Loophole" (its name, and the marker where it has one), "### Tests"
// (an assert a line), and where needed "### Setup", "### Solution", "### Prompt tests".
// InvalidArgument lists every problem as "line N: ...": a section that is missing, repeated, empty, out of order or
// unknown, text outside a block, an open fence, a name used twice, two equal sides, a line of the tests that is no
// assert on the pair's one method, prompt tests that are not in the prompt, no pair at all.
absl::StatusOr<std::vector<ContrastivePair>> ParsePairs(std::string_view markdown);

// ParsePairs of a file; the message names the path. NotFound when there is none.
absl::StatusOr<std::vector<ContrastivePair>> LoadPairs(const std::filesystem::path& path);

}  // namespace evilmoe
