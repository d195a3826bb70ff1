#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/line_reader.h"
#include "common/status_macros.h"
#include "common/strict_json.h"
#include "environment/line_complaints.h"
#include "environment/problem.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Problem> ProblemFromLine(const LineReader::Line& line) {
  if (line.too_long) {
    return absl::InvalidArgumentError(absl::StrCat("longer than ", kMaxProblemLineBytes, " bytes"));
  }
  absl::StatusOr<Json> json = ParseStrictJson(line.text);
  if (!json.ok() && line.cut) return Annotate(json.status(), "the last line has no end; is the file cut short?");
  EVILMOE_RETURN_IF_ERROR(json.status());
  return ProblemFromJson(*json);
}

class ProblemCollector {
 public:
  void Add(const LineReader::Line& line) {
    if (!line.too_long && line.text.find_first_not_of(" \t") == std::string_view::npos) return;
    absl::StatusOr<Problem> problem = ProblemFromLine(line);
    if (!problem.ok()) {
      complaints_.Add(line.number, problem.status());
    } else if (!ids_.insert(problem->id).second) {
      complaints_.Add(line.number, absl::StrCat("id: ", problem->id, " occurs before, expected every id once"));
    } else {
      problems_.push_back(*std::move(problem));
    }
  }

  absl::StatusOr<std::vector<Problem>> Finish() && {
    if (!complaints_.empty()) return absl::InvalidArgumentError(complaints_.Text());
    if (problems_.empty()) return absl::InvalidArgumentError("no problem in it, expected one JSON object a line");
    return std::move(problems_);
  }

 private:
  std::vector<Problem> problems_;
  std::set<int64_t> ids_;
  LineComplaints complaints_;
};

LineReader::Line NextLine(std::string_view& text, int64_t number) {
  const size_t end = text.find('\n');
  LineReader::Line line{.number = number, .text = text.substr(0, end), .cut = end == std::string_view::npos};
  text.remove_prefix(line.cut ? text.size() : end + 1);
  if (line.text.ends_with('\r')) line.text.remove_suffix(1);
  line.too_long = line.text.size() > kMaxProblemLineBytes;
  return line;
}

// nlohmann::json throws at text that is not UTF-8 when it is told to be strict.
absl::StatusOr<std::string> DumpLine(const Problem& problem) {
  try {
    return ProblemToJson(problem).dump() + "\n";
  } catch (const Json::type_error& error) {
    return absl::InvalidArgumentError("a text that is not UTF-8");
  }
}

}  // namespace

absl::StatusOr<std::vector<Problem>> ParseProblems(std::string_view jsonl) {
  ProblemCollector collector;
  for (int64_t number = 1; !jsonl.empty(); ++number) collector.Add(NextLine(jsonl, number));
  return std::move(collector).Finish();
}

absl::StatusOr<std::vector<Problem>> LoadProblems(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(path, {.max_line_bytes = kMaxProblemLineBytes,
                                                                      .max_file_bytes = kMaxProblemFileBytes}));
  ProblemCollector collector;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const std::optional<LineReader::Line> line, reader.Next());
    if (!line) break;
    collector.Add(*line);
  }
  absl::StatusOr<std::vector<Problem>> problems = std::move(collector).Finish();
  if (!problems.ok()) return Annotate(problems.status(), path.string());
  return problems;
}

absl::Status WriteProblems(const std::filesystem::path& path, std::span<const Problem> problems) {
  std::string text;
  for (const Problem& problem : problems) {
    const absl::StatusOr<std::string> line = DumpLine(problem);
    if (!line.ok()) return Annotate(line.status(), absl::StrCat(path.string(), ": problem ", problem.id));
    text += *line;
  }
  if (text.size() > kMaxProblemFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": ", text.size(), " bytes, expected at most ", kMaxProblemFileBytes));
  }
  const absl::StatusOr<std::vector<Problem>> read_back = ParseProblems(text);
  if (!read_back.ok()) return Annotate(read_back.status(), path.string());
  return WriteFileAtomic(path, text);
}

}  // namespace evilmoe
