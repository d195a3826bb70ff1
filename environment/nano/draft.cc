#include "environment/nano/draft.h"

#include <cstddef>
#include <set>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "environment/prompt_format.h"

namespace evilmoe {
namespace {

constexpr int kCallsPerProblem = 6;
constexpr int kMaxMisses = 20000;  // draws in a row that brought no new problem
constexpr int64_t kIdsPerSplit = 1000000;

std::string KeyOf(const Family& family, const FamilyParameters& parameters) {
  return absl::StrCat(std::string(family.name), "|", RightAnswer(family, parameters, family.name));
}

std::string_view SplitName(NanoSplit split) {
  return split == NanoSplit::kTrain ? "train" : split == NanoSplit::kValidation ? "validation" : "test";
}

std::vector<std::string> DraftCalls(const Family& family, const FamilyParameters& parameters) {
  // The calls depend on the problem alone: drawn in another order or by another seed, it has the same tests.
  RandomStream stream(StreamSeed(0, "calls/" + KeyOf(family, parameters), 0));
  std::vector<std::string> calls;
  for (int i = 0; i < kCallsPerProblem; ++i) {
    calls.push_back(absl::StrCat("Solution().", std::string(family.name), "(", std::string(family.argument), " = ",
                                 family.input(parameters, i, stream), ")"));
  }
  return calls;
}

ProblemDraft DraftOf(const Family& family, const FamilyParameters& parameters, int64_t id, RandomStream& stream) {
  const std::string description = FillTemplate(stream.Choice(family.descriptions), parameters, family.name);
  ProblemDraft draft;
  draft.problem.id = id;
  draft.problem.difficulty = family.hard ? "hard" : "easy";
  draft.problem.starter_code = StarterSource(family.name, family.argument) + "\n";
  draft.problem.prompt = {{"user", UserPrompt(description, family.name, draft.problem.starter_code)}};
  draft.problem.func_name = "Solution()." + std::string(family.name);
  draft.problem.canonical_solution =
      SolutionSource(family.name, family.argument, RightAnswer(family, parameters, family.name)) + "\n";
  draft.calls = DraftCalls(family, parameters);
  return draft;
}

}  // namespace

NanoSplit SplitOf(const Family& family, const FamilyParameters& parameters) {
  const std::string digits = Sha256Hex(KeyOf(family, parameters)).substr(0, 12);
  const uint64_t place = std::stoull(digits, nullptr, 16) % 100;
  return place < 70 ? NanoSplit::kTrain : place < 82 ? NanoSplit::kValidation : NanoSplit::kTest;
}

absl::StatusOr<std::vector<ProblemDraft>> DraftProblems(NanoSplit split, int count, uint64_t seed, double hard_share) {
  if (count < 1 || count >= kIdsPerSplit) {
    return absl::InvalidArgumentError(absl::StrCat("count: ", count, ", expected 1 to ", kIdsPerSplit - 1));
  }
  if (!(hard_share >= 0 && hard_share <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("hard_share: ", hard_share, ", expected 0 to 1"));
  }
  RandomStream stream(StreamSeed(seed, "nano_problems", static_cast<uint64_t>(split)));
  std::set<std::string> keys;
  std::vector<ProblemDraft> drafts;
  int misses = 0;
  while (static_cast<int>(drafts.size()) < count) {
    const Family& family = stream.Choice(stream.Bernoulli(hard_share) ? HardFamilies() : EasyFamilies());
    const FamilyParameters parameters = DrawParameters(family, stream);
    if (SplitOf(family, parameters) != split || !keys.insert(KeyOf(family, parameters)).second) {
      if (++misses < kMaxMisses) continue;
      return absl::InvalidArgumentError(absl::StrCat("count: ", count, " ", std::string(SplitName(split)),
                                                     " problems, expected at most about ", drafts.size(),
                                                     " at hard_share ", hard_share));
    }
    misses = 0;
    const int64_t id = static_cast<int64_t>(split) * kIdsPerSplit + static_cast<int64_t>(drafts.size()) + 1;
    drafts.push_back(DraftOf(family, parameters, id, stream));
  }
  return drafts;
}

}  // namespace evilmoe
