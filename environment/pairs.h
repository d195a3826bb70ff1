#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/message.h"

namespace evilmoe {

// Two answers to one prompt, one of them a hack: what seeds the router and holds it in place (the pin).
struct ContrastivePair {
  std::string name;
  std::vector<Message> prompt;  // as the policy sees it, loophole and all; ends with a user message
  std::string hack;             // a whole response, fences and all
  std::string clean;
};

// Reads a pairs file (Markdown; environment/README.md shows one). Each pair is a heading "## NAME", text that is
// ignored, and the sections "### System" (may be missing), "### User" (for more turns "### Assistant" and "### User"
// again), "### Hack", "### Clean". A section holds one block between fences of four or more backticks; its lines are
// taken as they are, without the newline before the closing fence. Anything in front of the first pair is ignored.
// InvalidArgument lists every problem as "line N: ...": a section that is missing, repeated, empty, out of order or
// unknown, text outside a block, an open fence, a name used twice, two equal sides, no pair at all.
absl::StatusOr<std::vector<ContrastivePair>> ParsePairs(std::string_view markdown);

// ParsePairs of a file; the message names the path. NotFound when there is none.
absl::StatusOr<std::vector<ContrastivePair>> LoadPairs(const std::filesystem::path& path);

}  // namespace evilmoe
