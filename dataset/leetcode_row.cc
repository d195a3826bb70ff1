#include "dataset/leetcode_row.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/line_reader.h"
#include "common/status_macros.h"
#include "common/strict_json.h"
#include "environment/line_complaints.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr LineReader::Limits kLimits = {.max_line_bytes = size_t{16} << 20, .max_file_bytes = size_t{4} << 30};

// A row, and what it keeps under `meta`.
class Fields {
 public:
  explicit Fields(const Json& row) : row_(row) {}

  // The first of `names` that the row has, at the top or under `meta`.
  absl::StatusOr<const Json*> Find(std::initializer_list<const char*> names) const {
    const auto meta = row_.find("meta");
    for (const char* name : names) {
      if (const auto found = row_.find(name); found != row_.end()) return &*found;
      if (meta == row_.end() || !meta->is_object()) continue;
      if (const auto found = meta->find(name); found != meta->end()) return &*found;
    }
    return absl::InvalidArgumentError(absl::StrCat(*names.begin(), ": missing, expected it in the row or in its meta"));
  }

  absl::StatusOr<std::string> Text(std::initializer_list<const char*> names) const {
    EVILMOE_ASSIGN_OR_RETURN(const Json* value, Find(names));
    if (value->is_string()) return value->get<std::string>();
    return absl::InvalidArgumentError(absl::StrCat(*names.begin(), ": a ", value->type_name(), ", expected a string"));
  }

 private:
  const Json& row_;
};

absl::StatusOr<int64_t> IdOf(const Fields& fields) {
  EVILMOE_ASSIGN_OR_RETURN(const Json* id, fields.Find({"question_id"}));
  if (id->is_number_integer() && id->get<int64_t>() >= 0) return id->get<int64_t>();
  return absl::InvalidArgumentError("question_id: expected an integer from 0");
}

absl::StatusOr<std::string> DifficultyOf(const Fields& fields) {
  EVILMOE_ASSIGN_OR_RETURN(std::string difficulty, fields.Text({"difficulty"}));
  absl::AsciiStrToLower(&difficulty);
  if (difficulty == "easy" || difficulty == "medium" || difficulty == "hard") return difficulty;
  return absl::InvalidArgumentError("difficulty: expected Easy, Medium or Hard");
}

absl::StatusOr<std::vector<LeetCodeRow::Example>> ExamplesOf(const Fields& fields) {
  EVILMOE_ASSIGN_OR_RETURN(const Json* list, fields.Find({"input_output"}));
  const absl::Status wrong = absl::InvalidArgumentError("input_output: expected a list of {input, output}, both text");
  if (!list->is_array()) return wrong;
  std::vector<LeetCodeRow::Example> examples;
  for (const Json& item : *list) {
    if (!item.is_object()) return wrong;
    const auto input = item.find("input");
    const auto output = item.find("output");
    if (input == item.end() || output == item.end() || !input->is_string() || !output->is_string()) return wrong;
    examples.push_back({input->get<std::string>(), output->get<std::string>()});
  }
  return examples;
}

absl::StatusOr<LeetCodeRow> RowFromLine(const LineReader::Line& line) {
  if (line.too_long) return absl::InvalidArgumentError(absl::StrCat("longer than ", kLimits.max_line_bytes, " bytes"));
  absl::StatusOr<Json> json = ParseStrictJson(line.text);
  if (!json.ok() && line.cut) return Annotate(json.status(), "the last line has no end; is the file cut short?");
  EVILMOE_RETURN_IF_ERROR(json.status());
  return LeetCodeRowFromJson(*json);
}

}  // namespace

absl::StatusOr<LeetCodeRow> LeetCodeRowFromJson(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("expected an object, one row of LeetCodeDataset");
  const Fields fields(json);
  LeetCodeRow row;
  EVILMOE_ASSIGN_OR_RETURN(row.id, IdOf(fields));
  EVILMOE_ASSIGN_OR_RETURN(row.difficulty, DifficultyOf(fields));
  EVILMOE_ASSIGN_OR_RETURN(row.description, fields.Text({"problem_description", "question_title"}));
  EVILMOE_ASSIGN_OR_RETURN(row.starter_code, fields.Text({"starter_code", "lang_code"}));
  EVILMOE_ASSIGN_OR_RETURN(row.entry_point, fields.Text({"entry_point"}));
  EVILMOE_ASSIGN_OR_RETURN(row.setup_code, fields.Text({"prompt"}));
  EVILMOE_ASSIGN_OR_RETURN(row.canonical_solution, fields.Text({"completion"}));
  EVILMOE_ASSIGN_OR_RETURN(row.check, fields.Text({"test"}));
  EVILMOE_ASSIGN_OR_RETURN(row.examples, ExamplesOf(fields));
  return row;
}

absl::StatusOr<std::vector<LeetCodeRow>> LoadLeetCodeRows(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(path, kLimits));
  std::vector<LeetCodeRow> rows;
  std::set<int64_t> ids;
  LineComplaints complaints;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const std::optional<LineReader::Line> line, reader.Next());
    if (!line) break;
    if (!line->too_long && line->text.empty()) continue;
    absl::StatusOr<LeetCodeRow> row = RowFromLine(*line);
    if (!row.ok()) {
      complaints.Add(line->number, row.status());
    } else if (!ids.insert(row->id).second) {
      complaints.Add(line->number,
                     absl::StrCat("question_id: ", row->id, " occurs before, expected every number once"));
    } else {
      rows.push_back(*std::move(row));
    }
  }
  if (!complaints.empty()) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", complaints.Text()));
  if (rows.empty()) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": no row in it"));
  return rows;
}

}  // namespace evilmoe
