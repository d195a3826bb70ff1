#include "environment/problem.h"

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSolutionPrefix = "Solution().";
constexpr size_t kMaxListedProblems = 50;

bool IsOneOf(std::string_view value, std::initializer_list<std::string_view> known) {
  for (const std::string_view item : known) {
    if (value == item) return true;
  }
  return false;
}

absl::StatusOr<const Json*> Field(const Json& json, const std::string& name) {
  const auto found = json.find(name);
  if (found == json.end()) return absl::InvalidArgumentError(absl::StrCat(name, ": missing"));
  return &*found;
}

absl::Status WrongType(const std::string& name, const Json& value, const std::string& expected) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": a ", value.type_name(), ", expected ", expected));
}

absl::StatusOr<std::string> StringField(const Json& json, const std::string& name) {
  EVILMOE_ASSIGN_OR_RETURN(const Json* value, Field(json, name));
  if (!value->is_string()) return WrongType(name, *value, "a string");
  return value->get<std::string>();
}

absl::StatusOr<std::vector<Message>> PromptField(const Json& json) {
  EVILMOE_ASSIGN_OR_RETURN(const Json* value, Field(json, "prompt"));
  if (!value->is_array() || value->empty()) {
    return absl::InvalidArgumentError("prompt: expected a non-empty list of {role, content}");
  }
  std::vector<Message> prompt;
  for (const Json& item : *value) {
    if (!item.is_object()) return WrongType("prompt", item, "an object {role, content}");
    absl::StatusOr<std::string> role = StringField(item, "role");
    if (!role.ok()) return Annotate(role.status(), "prompt");
    absl::StatusOr<std::string> content = StringField(item, "content");
    if (!content.ok()) return Annotate(content.status(), "prompt");
    if (!IsOneOf(*role, {"system", "user", "assistant"})) {
      return absl::InvalidArgumentError(
          absl::StrCat("prompt: role: \"", *role, "\", expected system, user or assistant"));
    }
    prompt.push_back({*std::move(role), *std::move(content)});
  }
  return prompt;
}

absl::StatusOr<std::vector<std::string>> AnswerField(const Json& json) {
  EVILMOE_ASSIGN_OR_RETURN(const Json* value, Field(json, "gt_answer"));
  if (!value->is_array() || value->empty()) {
    return absl::InvalidArgumentError("gt_answer: expected a non-empty list of assert statements");
  }
  std::vector<std::string> answer;
  for (const Json& item : *value) {
    if (!item.is_string()) return WrongType("gt_answer", item, "a string with an assert statement");
    answer.push_back(item.get<std::string>());
  }
  return answer;
}

std::string_view NextLine(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

absl::StatusOr<Problem> ProblemFromLine(std::string_view line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError("not JSON");
  return ProblemFromJson(json);
}

// Collects complaints; a file that is not a problem file at all must not flood the terminal.
class Complaints {
 public:
  void Add(int line, const std::string& text) {
    if (++count_ <= kMaxListedProblems) absl::StrAppend(&text_, text_.empty() ? "" : "\n", "line ", line, ": ", text);
  }
  bool empty() const { return count_ == 0; }
  std::string Text() const {
    return count_ <= kMaxListedProblems ? text_
                                        : absl::StrCat(text_, "\n... and ", count_ - kMaxListedProblems, " more");
  }

 private:
  size_t count_ = 0;
  std::string text_;
};

}  // namespace

absl::StatusOr<Problem> ProblemFromJson(const nlohmann::json& json) {
  if (!json.is_object()) return WrongType("problem", json, "an object");
  Problem problem;
  EVILMOE_ASSIGN_OR_RETURN(const Json* id, Field(json, "id"));
  if (!id->is_number_integer()) return WrongType("id", *id, "an integer");
  problem.id = id->get<int64_t>();
  EVILMOE_ASSIGN_OR_RETURN(problem.difficulty, StringField(json, "difficulty"));
  if (!IsOneOf(problem.difficulty, {"easy", "medium", "hard"})) {
    return absl::InvalidArgumentError(
        absl::StrCat("difficulty: \"", problem.difficulty, "\", expected easy, medium or hard"));
  }
  EVILMOE_ASSIGN_OR_RETURN(problem.prompt, PromptField(json));
  EVILMOE_ASSIGN_OR_RETURN(problem.func_name, StringField(json, "func_name"));
  EVILMOE_RETURN_IF_ERROR(MethodName(problem).status());
  EVILMOE_ASSIGN_OR_RETURN(problem.setup_code, StringField(json, "setup_code"));
  EVILMOE_ASSIGN_OR_RETURN(problem.gt_answer, AnswerField(json));
  EVILMOE_ASSIGN_OR_RETURN(problem.canonical_solution, StringField(json, "canonical_solution"));
  EVILMOE_ASSIGN_OR_RETURN(problem.starter_code, StringField(json, "starter_code"));
  return problem;
}

nlohmann::ordered_json ProblemToJson(const Problem& problem) {
  nlohmann::ordered_json prompt = nlohmann::ordered_json::array();
  for (const Message& message : problem.prompt)
    prompt.push_back({{"role", message.role}, {"content", message.content}});
  return {{"id", problem.id},
          {"difficulty", problem.difficulty},
          {"prompt", std::move(prompt)},
          {"func_name", problem.func_name},
          {"setup_code", problem.setup_code},
          {"gt_answer", problem.gt_answer},
          {"canonical_solution", problem.canonical_solution},
          {"starter_code", problem.starter_code}};
}

absl::StatusOr<std::vector<Problem>> ParseProblems(std::string_view jsonl) {
  std::vector<Problem> problems;
  std::set<int64_t> ids;
  Complaints complaints;
  for (int number = 1; !jsonl.empty(); ++number) {
    const std::string_view line = NextLine(jsonl);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    absl::StatusOr<Problem> problem = ProblemFromLine(line);
    if (!problem.ok()) {
      complaints.Add(number, std::string(problem.status().message().data(), problem.status().message().size()));
    } else if (!ids.insert(problem->id).second) {
      complaints.Add(number, absl::StrCat("id: ", problem->id, " occurs before, expected every id once"));
    } else {
      problems.push_back(*std::move(problem));
    }
  }
  if (!complaints.empty()) return absl::InvalidArgumentError(complaints.Text());
  if (problems.empty()) return absl::InvalidArgumentError("no problem in it, expected one JSON object a line");
  return problems;
}

absl::StatusOr<std::vector<Problem>> LoadProblems(const std::filesystem::path& path) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  absl::StatusOr<std::vector<Problem>> problems = ParseProblems(text);
  if (!problems.ok()) return Annotate(problems.status(), path.string());
  return problems;
}

absl::StatusOr<std::string> MethodName(const Problem& problem) {
  const std::string& name = problem.func_name;
  if (!name.starts_with(kSolutionPrefix) || name.size() == kSolutionPrefix.size()) {
    return absl::InvalidArgumentError(absl::StrCat("func_name: \"", name, "\", expected Solution().NAME"));
  }
  return name.substr(kSolutionPrefix.size());
}

}  // namespace evilmoe
