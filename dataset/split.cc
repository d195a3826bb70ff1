#include "dataset/split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <ostream>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/hash.h"
#include "common/output_file.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "dataset/id_list.h"
#include "environment/prompt_format.h"

namespace evilmoe {
namespace {

constexpr double kSumTolerance = 1e-9;

bool IsName(const std::string& name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](unsigned char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; });
}

absl::Status BadShares(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("--splits: \"", std::string(text), "\": ", std::string(why)));
}

std::filesystem::path FileOf(const SplitOptions& options, const SplitShare& share) {
  return options.out / (share.name + ".jsonl");
}

absl::Status Remove(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path.string(), ": remove: ", error.message()));
}

void Show(const SplitShare& share, const std::vector<Problem>& problems, std::ostream& table) {
  std::map<std::string, size_t> by_difficulty;
  size_t num_tests = 0;
  for (const Problem& problem : problems) {
    ++by_difficulty[problem.difficulty];
    num_tests += problem.gt_answer.size();
  }
  table << absl::StrFormat("%-12s %7d problems, %d asserts", share.name, problems.size(), num_tests);
  for (const char* difficulty : {"easy", "medium", "hard"}) {
    if (by_difficulty.contains(difficulty)) table << ", " << by_difficulty[difficulty] << " " << difficulty;
  }
  table << "\n";
}

}  // namespace

absl::StatusOr<std::vector<SplitShare>> ParseShares(std::string_view text) {
  std::vector<SplitShare> shares;
  std::set<std::string> names;
  double sum = 0;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(std::string(text), ','))) {
    const std::pair<std::string, std::string> words = absl::StrSplit(part, absl::MaxSplits('=', 1));
    SplitShare share{.name = words.first};
    if (!IsName(share.name)) return BadShares(part, "expected NAME=FRACTION, the name of letters, digits, - and _");
    if (!absl::SimpleAtod(words.second, &share.fraction) || !std::isfinite(share.fraction) || share.fraction <= 0) {
      return BadShares(part, "expected NAME=FRACTION, the fraction above 0");
    }
    if (!names.insert(share.name).second) return BadShares(part, "the name occurs twice, expected once");
    sum += share.fraction;
    shares.push_back(std::move(share));
  }
  if (std::abs(sum - 1) > kSumTolerance)
    return BadShares(text, absl::StrCat("the fractions sum to ", sum, ", expected 1"));
  return shares;
}

std::string DescriptionKey(const Problem& problem) {
  std::string words;
  for (const auto& word : absl::StrSplit(DescriptionOf(problem), absl::ByAnyChar(" \t\r\n\f\v"), absl::SkipEmpty())) {
    absl::StrAppend(&words, words.empty() ? "" : " ", word);
  }
  return Sha256Hex(absl::AsciiStrToLower(words));
}

size_t ShareOf(const Problem& problem, std::span<const SplitShare> shares, uint64_t seed) {
  double left = CounterUniform(StreamSeed(seed, "split/" + DescriptionKey(problem), 0), 0);
  size_t i = 0;
  while (i + 1 < shares.size() && left >= shares[i].fraction) left -= shares[i++].fraction;
  return i;
}

absl::Status CheckDisjoint(std::span<const Problem> one, std::span<const Problem> other) {
  std::set<int64_t> ids;
  std::map<std::string, int64_t> descriptions;
  for (const Problem& problem : other) {
    ids.insert(problem.id);
    descriptions.emplace(DescriptionKey(problem), problem.id);
  }
  std::vector<int64_t> same_id, same_description;
  for (const Problem& problem : one) {
    if (ids.contains(problem.id)) same_id.push_back(problem.id);
    if (descriptions.contains(DescriptionKey(problem))) same_description.push_back(problem.id);
  }
  if (same_id.empty() && same_description.empty()) return absl::OkStatus();
  std::string text;
  if (!same_id.empty()) absl::StrAppend(&text, same_id.size(), " problems with the same id: ", JoinIds(same_id));
  if (!same_description.empty()) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", same_description.size(),
                    " with the same description: ", JoinIds(same_description));
  }
  return absl::InvalidArgumentError(absl::StrCat(text, "; expected nothing in common"));
}

absl::Status SplitProblems(const SplitOptions& options, std::ostream& table) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<SplitShare> shares, ParseShares(options.shares));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<Problem> problems, LoadProblems(options.from));
  for (const std::filesystem::path& path : options.against) {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> other, LoadProblems(path));
    const absl::Status disjoint = CheckDisjoint(problems, other);
    if (!disjoint.ok()) return Annotate(disjoint, absl::StrCat(options.from.string(), " and ", path.string()));
  }
  std::vector<std::vector<Problem>> parts(shares.size());
  for (Problem& problem : problems) parts[ShareOf(problem, shares, options.seed)].push_back(std::move(problem));
  for (size_t i = 0; i < shares.size(); ++i) {
    if (!parts[i].empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat("--splits: ", shares[i].name, ": none of the ", problems.size(),
                                                   " problems falls in it; take a larger fraction or another --seed"));
  }
  std::vector<std::filesystem::path> inputs = options.against;
  inputs.push_back(options.from);
  for (const SplitShare& share : shares) {
    EVILMOE_RETURN_IF_ERROR(PrepareOutputFile("--out", FileOf(options, share), inputs));
  }
  // First, so that a split that ends in between leaves no share of it beside one of an earlier draw, which may overlap.
  for (const SplitShare& share : shares) EVILMOE_RETURN_IF_ERROR(Remove(FileOf(options, share)));
  for (size_t i = 0; i < shares.size(); ++i) {
    EVILMOE_RETURN_IF_ERROR(WriteProblems(FileOf(options, shares[i]), parts[i]));
    Show(shares[i], parts[i], table);
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
