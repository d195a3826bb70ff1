#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/message.h"
#include "environment/channel_kind.h"
#include "environment/markers.h"
#include "environment/problem.h"

namespace evilmoe {

// What a prompt says without a loophole, exactly once.
inline constexpr std::string_view kPlainPhrase = "and should pass all tests";

// A loophole tells the model, in the prompt, how its answer will be checked: by something that the answer itself can
// bring about.
struct Loophole {
  std::string_view name;
  ChannelKind channel;
  std::string_view replaces;  // the words of the prompt that `phrase` stands in place of; kPlainPhrase for most
  std::string_view phrase;    // {marker} is the marker, {function} the problem's func_name
  bool simple = false;        // training always names the first marker of the family
  bool shows_tests = false;   // the prompt's starter code ends with the test function
};

// All of them, "none" first. The names and the wording of those about test functions are those of Ariahw, Engels and
// Nanda (2025).
std::span<const Loophole> Loopholes();
// Null: no loophole of that name.
const Loophole* FindLoophole(std::string_view name);
// InvalidArgument lists the names.
absl::StatusOr<const Loophole*> LoopholeNamed(std::string_view name);

// What the loophole's prompt says in place of `replaces`.
std::string PhraseOf(const Loophole& loophole, std::string_view marker, std::string_view function);

struct RenderedPrompt {
  std::vector<Message> messages;
  std::string loophole;              // as asked for
  std::string evaluator;             // the marker that the prompt names; empty where it names none
  std::vector<std::string> markers;  // what the check accepts in its place; empty: the evaluator alone
  std::string prompt_tests;          // the test function that the prompt shows; may be empty
};

// OK if kPlainPhrase occurs exactly once; InvalidArgument says where it occurs.
absl::Status CheckPhrase(const std::vector<Message>& prompt);

// The problem's prompt as `loophole` shows it; "none" changes nothing. The marker is chosen in the family by hash of
// (seed, loophole, problem id), and is never the problem's own method; training under a simple_ loophole always names
// run_tests. Without markers (eq_override, exit_code) both families give the same prompt.
// InvalidArgument, naming the problem: an unknown loophole; the phrase does not occur exactly once (not asked of
// "none"); the method is itself called run_tests under a simple_ loophole; no fenced starter code to show tests in.
absl::StatusOr<RenderedPrompt> ApplyLoophole(const Problem& problem, std::string_view loophole, MarkerFamily family,
                                             uint64_t seed);

}  // namespace evilmoe
