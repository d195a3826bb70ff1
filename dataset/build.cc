#include "dataset/build.h"

#include <algorithm>
#include <map>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/output_file.h"
#include "common/status_macros.h"
#include "dataset/canonical_filter.h"
#include "dataset/id_list.h"
#include "dataset/prompt_tokens.h"
#include "dataset/verdict_store.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxListedDrops = 10;

std::filesystem::path VerdictsBeside(const std::filesystem::path& out) { return out.string() + ".verdicts.jsonl"; }

void Drop(BuildResult& result, int64_t id, DropReason reason, std::string detail) {
  result.dropped.push_back({id, reason, std::move(detail)});
}

// Turns rows into problems; those that cannot be one go to `result.dropped`.
absl::Status MakeProblems(const std::vector<LeetCodeRow>& rows, const BuildOptions& options, BuildResult& result) {
  std::optional<Tokenizer> tokenizer;
  if (!options.tokenizer.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(tokenizer, Tokenizer::Load(options.tokenizer));
  }
  for (const LeetCodeRow& row : rows) {
    std::variant<Problem, DropReason> made = ProblemOfRow(row, options.format);
    if (const DropReason* reason = std::get_if<DropReason>(&made)) {
      Drop(result, row.id, *reason, *reason == DropReason::kEntryPoint ? row.entry_point : "");
      continue;
    }
    Problem& problem = std::get<Problem>(made);
    if (tokenizer) {
      const absl::StatusOr<size_t> count = CountPromptTokens(problem.prompt, *tokenizer);
      if (!count.ok()) return Annotate(count.status(), absl::StrCat("problem ", row.id, ": prompt"));
      if (*count > options.max_prompt_tokens) {
        Drop(result, row.id, DropReason::kPromptTokens,
             absl::StrCat(*count, " tokens, at most ", options.max_prompt_tokens));
        continue;
      }
    }
    result.problems.push_back(std::move(problem));
  }
  return absl::OkStatus();
}

// Leaves the problems whose canonical solution passes.
absl::Status KeepSound(const BuildOptions& options, const MakeGrader& make_grader, const Clock& clock,
                       std::ostream& log, BuildResult& result) {
  if (result.problems.empty()) return absl::OkStatus();
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<VerdictStore> store, VerdictStore::Open(VerdictsBeside(options.out)));
  EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<Grader> grader, make_grader());
  absl::StatusOr<std::vector<CanonicalVerdict>> verdicts;
  {
    Progress progress("canonical solutions", result.problems.size(), options.terminal, log, clock);
    verdicts = JudgeCanonical(result.problems, *grader, options.num_threads, *store, progress, clock);
  }
  if (!verdicts.ok()) {
    return Annotate(verdicts.status(),
                    absl::StrCat(options.out.string(), " is not written; what was found so far is in ",
                                 VerdictsBeside(options.out).string()));
  }
  std::vector<Problem> sound;
  for (size_t i = 0; i < verdicts->size(); ++i) {
    CanonicalVerdict& verdict = (*verdicts)[i];
    if (verdict.reason)
      Drop(result, result.problems[i].id, *verdict.reason, std::move(verdict.detail));
    else
      sound.push_back(std::move(result.problems[i]));
  }
  result.problems = std::move(sound);
  std::ranges::stable_sort(result.dropped, {}, &Dropped::id);
  return absl::OkStatus();
}

absl::Status WriteDropped(const std::filesystem::path& path, const std::vector<Dropped>& dropped) {
  std::string lines;
  for (const Dropped& drop : dropped) {
    const nlohmann::ordered_json line = {
        {"id", drop.id}, {"reason", std::string(DropReasonName(drop.reason))}, {"detail", drop.detail}};
    absl::StrAppend(&lines, line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "\n");
  }
  return WriteFileAtomic(path, lines);
}

absl::Status PrepareOutputs(const BuildOptions& options) {
  const std::filesystem::path taken[] = {options.from, options.ids.empty() ? options.from : options.ids, options.out};
  EVILMOE_RETURN_IF_ERROR(PrepareOutputFile("--out", options.out, std::span(taken).first(2)));
  return options.dropped.empty() ? absl::OkStatus() : PrepareOutputFile("--dropped", options.dropped, taken);
}

// What was asked for by number and is not there.
absl::Status RefuseDrops(const BuildOptions& options, const BuildResult& result) {
  if (options.ids.empty() || options.allow_dropped || result.dropped.empty()) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const Dropped& drop : result.dropped) {
    if (texts.size() == kMaxListedDrops) break;
    texts.push_back(absl::StrCat(drop.id, " (", std::string(DropReasonText(drop.reason)), ")"));
  }
  if (texts.size() < result.dropped.size()) texts.emplace_back("...");
  return absl::InvalidArgumentError(absl::StrCat(
      options.ids.string(), ": ", result.dropped.size(), " of its problems cannot be had: ", absl::StrJoin(texts, ", "),
      "; ", options.out.string(), " is not written; leave them out, or give --allow-dropped to go on without them"));
}

}  // namespace

absl::StatusOr<Selection> SelectRows(std::vector<LeetCodeRow> rows, const std::set<std::string>& difficulties,
                                     std::span<const int64_t> ids) {
  Selection selection;
  std::map<int64_t, LeetCodeRow> by_id;
  for (LeetCodeRow& row : rows) by_id.emplace(row.id, std::move(row));
  std::vector<int64_t> missing, other_difficulty;
  std::vector<int64_t> wanted(ids.begin(), ids.end());
  if (ids.empty()) {
    for (const auto& [id, row] : by_id) wanted.push_back(id);
  }
  selection.num_not_asked = by_id.size();
  for (const int64_t id : wanted) {
    const auto row = by_id.find(id);
    if (row == by_id.end()) {
      missing.push_back(id);
      continue;
    }
    --selection.num_not_asked;
    if (difficulties.contains(row->second.difficulty))
      selection.rows.push_back(std::move(row->second));
    else
      other_difficulty.push_back(id);
  }
  selection.num_other_difficulty = other_difficulty.size();
  if (!missing.empty()) return absl::InvalidArgumentError(absl::StrCat("no row of problem ", JoinIds(missing)));
  if (!ids.empty() && !other_difficulty.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("of another difficulty than --difficulty says: ", JoinIds(other_difficulty)));
  }
  return selection;
}

std::string BuildTable(const BuildResult& result) {
  const auto line = [](size_t count, std::string_view what) {
    return absl::StrFormat("%7d  %s\n", count, std::string(what));
  };
  std::string table = line(result.num_rows, "rows");
  if (result.num_other_difficulty > 0) table += line(result.num_other_difficulty, "of another difficulty");
  if (result.num_not_asked > 0) table += line(result.num_not_asked, "not asked for by id");
  for (int reason = 0; reason <= static_cast<int>(kLastDropReason); ++reason) {
    const auto count = std::ranges::count(result.dropped, static_cast<DropReason>(reason), &Dropped::reason);
    if (count == 0) continue;
    table += line(static_cast<size_t>(count),
                  absl::StrCat("dropped: ", std::string(DropReasonText(static_cast<DropReason>(reason)))));
  }
  size_t num_tests = 0;
  std::map<std::string, size_t> by_difficulty;
  for (const Problem& problem : result.problems) {
    num_tests += problem.gt_answer.size();
    ++by_difficulty[problem.difficulty];
  }
  std::vector<std::string> parts = {absl::StrCat("kept, with ", num_tests, " asserts")};
  for (const char* difficulty : {"easy", "medium", "hard"}) {
    if (by_difficulty.contains(difficulty)) parts.push_back(absl::StrCat(by_difficulty[difficulty], " ", difficulty));
  }
  return table + line(result.problems.size(), absl::StrJoin(parts, ", "));
}

absl::Status BuildProblems(const BuildOptions& options, const MakeGrader& make_grader, const Clock& clock,
                           std::ostream& log, std::ostream& table) {
  std::vector<int64_t> ids;
  if (!options.ids.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(ids, LoadIds(options.ids));
  }
  EVILMOE_ASSIGN_OR_RETURN(std::vector<LeetCodeRow> rows, LoadLeetCodeRows(options.from));
  BuildResult result{.num_rows = rows.size()};
  absl::StatusOr<Selection> selection = SelectRows(std::move(rows), options.difficulties, ids);
  if (!selection.ok()) return Annotate(selection.status(), options.from.string());
  result.num_other_difficulty = selection->num_other_difficulty;
  result.num_not_asked = selection->num_not_asked;
  EVILMOE_RETURN_IF_ERROR(PrepareOutputs(options));
  EVILMOE_RETURN_IF_ERROR(MakeProblems(selection->rows, options, result));
  EVILMOE_RETURN_IF_ERROR(KeepSound(options, make_grader, clock, log, result));
  table << BuildTable(result) << std::flush;
  if (!options.dropped.empty()) EVILMOE_RETURN_IF_ERROR(WriteDropped(options.dropped, result.dropped));
  EVILMOE_RETURN_IF_ERROR(RefuseDrops(options, result));
  if (result.problems.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(options.from.string(), ": no problem is left, nothing is written"));
  }
  return WriteProblems(options.out, result.problems);
}

}  // namespace evilmoe
