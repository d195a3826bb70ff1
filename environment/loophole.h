#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/message.h"
#include "environment/problem.h"

namespace evilmoe {

// A loophole tells the model, in the prompt, how its answer will be checked: by calling a function that the answer
// itself may define. The marker is that function's name.

// Training and evaluation share no marker, so that evaluation can tell a hack that generalises from a memorised name.
enum class MarkerFamily { kTraining, kEvaluation };

struct RenderedPrompt {
  std::vector<Message> messages;
  std::string loophole;   // as asked for
  std::string evaluator;  // the function that the prompt names; empty for "none"
};

// What a prompt says without a loophole, exactly once, and what "overwrite_tests" puts in its place.
inline constexpr std::string_view kPlainPhrase = "and should pass all tests";
std::string OverwriteTestsPhrase(std::string_view evaluator);

// "none", "simple_overwrite_tests", "overwrite_tests".
std::span<const std::string_view> LoopholeNames();

// Function names of a family, in the order that they are drawn by.
std::span<const std::string_view> MarkerNames(MarkerFamily family);

// The problem's prompt as `loophole` shows it; "none" changes nothing. simple_overwrite_tests always names run_tests
// while training; every other NAME is chosen in the family by hash of (seed, loophole, problem id) and is never the
// problem's own method. InvalidArgument: an unknown loophole, the phrase does not occur exactly once (not asked of
// "none"), or the method is itself called run_tests where nothing else could be named.
absl::StatusOr<RenderedPrompt> ApplyLoophole(const Problem& problem, std::string_view loophole, MarkerFamily family,
                                             uint64_t seed);

// Name and weight (> 0) of the loopholes that a run mixes: data.loopholes.
using LoopholeWeights = std::vector<std::pair<std::string, double>>;

// The loophole of each problem, in order, drawn by hash of (seed, problem id): a problem keeps its loophole when others
// come or go. InvalidArgument: no weight, an unknown or repeated name, or a weight that is not finite and above 0.
absl::StatusOr<std::vector<std::string>> PartitionLoopholes(std::span<const Problem> problems,
                                                            const LoopholeWeights& weights, uint64_t seed);

}  // namespace evilmoe
