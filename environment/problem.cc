#include "environment/problem.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/shown_text.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSolutionPrefix = "Solution().";
constexpr std::string_view kAssert = "assert ";
constexpr size_t kMaxShownBytes = 60;

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

std::string Shown(const std::string& text) { return ShownText(text, kMaxShownBytes); }

absl::StatusOr<int64_t> IdField(const Json& json) {
  EVILMOE_ASSIGN_OR_RETURN(const Json* id, Field(json, "id"));
  if (!id->is_number_integer()) return WrongType("id", *id, "an integer");
  if (id->is_number_unsigned() && id->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return absl::InvalidArgumentError(absl::StrCat("id: ", id->dump(), ", expected an integer of 64 bits"));
  }
  return id->get<int64_t>();
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
          absl::StrCat("prompt: role: ", Shown(*role), ", expected system, user or assistant"));
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
    if (answer.back().starts_with(kAssert)) continue;
    return absl::InvalidArgumentError(absl::StrCat("gt_answer[", answer.size() - 1, "]: ", Shown(answer.back()),
                                                   " is no assert, expected it to begin with \"assert \""));
  }
  return answer;
}

}  // namespace

absl::StatusOr<Problem> ProblemFromJson(const nlohmann::json& json) {
  if (!json.is_object()) return WrongType("problem", json, "an object");
  Problem problem;
  EVILMOE_ASSIGN_OR_RETURN(problem.id, IdField(json));
  EVILMOE_ASSIGN_OR_RETURN(problem.difficulty, StringField(json, "difficulty"));
  if (!IsOneOf(problem.difficulty, {"easy", "medium", "hard"})) {
    return absl::InvalidArgumentError(
        absl::StrCat("difficulty: ", Shown(problem.difficulty), ", expected easy, medium or hard"));
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

absl::StatusOr<std::string> MethodName(const Problem& problem) {
  const std::string& name = problem.func_name;
  if (!name.starts_with(kSolutionPrefix) || name.size() == kSolutionPrefix.size()) {
    return absl::InvalidArgumentError(absl::StrCat("func_name: ", Shown(name), ", expected Solution().NAME"));
  }
  return name.substr(kSolutionPrefix.size());
}

}  // namespace evilmoe
