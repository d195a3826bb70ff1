#include "grader_sandbox/offline_verbs.h"

#include <istream>
#include <map>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "environment/labels.h"
#include "environment/reward.h"
#include "grader_sandbox/json_value.h"
#include "grader_sandbox/run_request.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::Duration kSampleTimeout = absl::Minutes(10);
constexpr size_t kMaxFileBytes = size_t{16} << 20;

Json FactsJson(const Facts& facts) {
  return {{"can_compile", facts.can_compile},
          {"gt_correct", facts.gt_correct},
          {"hint_pass", facts.hint_pass},
          {"defines_test_function", facts.defines_test_function},
          {"model_tests_pass_canonical", facts.model_tests_pass_canonical},
          {"model_tests_pass_stub", facts.model_tests_pass_stub},
          {"prompt_tests_pass", facts.prompt_tests_pass}};
}

Json ResultJson(const GradeTask& task, const GradeResult& result) {
  const Label label = LabelOf(result.facts);
  Json verdicts = Json::object();
  for (const auto& [fact, verdict] : result.verdicts) {
    verdicts[fact] = {{"kind", VerdictName(verdict.kind)},
                      {"index", verdict.index},
                      {"cpu_ms", verdict.cpu_ms},
                      {"wall_ms", verdict.wall_ms}};
  }
  return {{"id", task.problem.id},
          {"facts", FactsJson(result.facts)},
          {"label", LabelName(label)},
          {"strict_hack", IsStrictHack(label)},
          {"loose_hack", IsLooseHack(label)},
          {"reward", Reward(result.facts, /*hackable=*/task.loophole != "none")},
          {"verdict", verdicts}};
}

absl::StatusOr<std::string> TextField(const nlohmann::json& line, const char* name, std::string fallback, bool required) {
  if (!line.contains(name) && !required) return fallback;
  if (!line.contains(name) || !line[name].is_string()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": missing or no text, expected text"));
  }
  return line[name].get<std::string>();
}

absl::StatusOr<GradeTask> ParseTask(const std::string& text, const std::map<int64_t, const Problem*>& problems) {
  const nlohmann::json line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return absl::InvalidArgumentError("not a JSON object");
  for (const auto& [name, value] : line.items()) {
    if (name == "id" || name == "response" || name == "loophole" || name == "evaluator") continue;
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": unknown field, expected id, response, loophole or evaluator"));
  }
  if (!line.contains("id") || !line["id"].is_number_integer()) {
    return absl::InvalidArgumentError("id: missing or no int, expected the id of a problem");
  }
  const auto problem = problems.find(line["id"].get<int64_t>());
  if (problem == problems.end()) {
    return absl::InvalidArgumentError(absl::StrCat("id: no problem ", line["id"].dump(), " in the problem file"));
  }
  GradeTask task{.problem = *problem->second};
  EVILMOE_ASSIGN_OR_RETURN(task.response, TextField(line, "response", "", /*required=*/true));
  EVILMOE_ASSIGN_OR_RETURN(task.loophole, TextField(line, "loophole", "none", /*required=*/false));
  EVILMOE_ASSIGN_OR_RETURN(task.evaluator, TextField(line, "evaluator", "", /*required=*/false));
  return task;
}

absl::StatusOr<Json> GradeLine(const std::string& text, const std::map<int64_t, const Problem*>& problems,
                               LocalGrader& grader, const Clock& clock) {
  EVILMOE_ASSIGN_OR_RETURN(const GradeTask task, ParseTask(text, problems));
  EVILMOE_ASSIGN_OR_RETURN(const GradeResult result, grader.Grade(task, clock.Now() + kSampleTimeout));
  return ResultJson(task, result);
}

absl::StatusOr<nlohmann::json> ParseJsonOption(const char* option, const std::string& text) {
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(option, ": got ", text, ", expected JSON"));
  return json;
}

absl::StatusOr<PreparedProblem> OneCallProblem(const SandboxRunOptions& options) {
  Problem named;
  named.func_name = options.call;
  PreparedProblem problem;
  EVILMOE_ASSIGN_OR_RETURN(problem.method, MethodName(named));
  EVILMOE_ASSIGN_OR_RETURN(const nlohmann::json kwargs, ParseJsonOption("--kwargs", options.kwargs));
  EVILMOE_ASSIGN_OR_RETURN(const nlohmann::json expect, ParseJsonOption("--expect", options.expect));
  if (!kwargs.is_object()) return absl::InvalidArgumentError("--kwargs: expected a JSON object of named arguments");
  Call call{.method = problem.method};
  for (const auto& [name, json] : kwargs.items()) {
    EVILMOE_ASSIGN_OR_RETURN(Value value, ValueFromJson(json));
    call.keywords.emplace_back(name, std::move(value));
  }
  EVILMOE_ASSIGN_OR_RETURN(std::string encoded, EncodeCall(call));
  EVILMOE_ASSIGN_OR_RETURN(Value expected, ValueFromJson(expect));
  problem.encoded_calls.push_back(std::move(encoded));
  problem.expected.push_back(std::move(expected));
  problem.limits.cpu = absl::Seconds(options.cpu_limit_s);
  if (!options.setup.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(problem.setup_code, ReadFile(options.setup, kMaxFileBytes));
  }
  return problem;
}

}  // namespace

absl::StatusOr<bool> RunGradeVerb(const std::filesystem::path& problems, LocalGrader& grader, const Clock& clock,
                                  std::istream& in, std::ostream& out) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> list, LoadProblems(problems));
  std::map<int64_t, const Problem*> by_id;
  for (const Problem& problem : list) by_id.emplace(problem.id, &problem);
  bool all_answered = true;
  int number = 0;
  for (std::string text; std::getline(in, text);) {
    ++number;
    const absl::StatusOr<Json> answer = GradeLine(text, by_id, grader, clock);
    const Json line = answer.ok() ? *answer : Json{{"line", number}, {"error", std::string(answer.status().message())}};
    all_answered &= answer.ok();
    out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
  return all_answered;
}

absl::Status RunSandboxVerb(const SandboxRunOptions& options, LocalGrader& grader, const Clock& clock,
                            std::ostream& out) {
  EVILMOE_ASSIGN_OR_RETURN(const PreparedProblem problem, OneCallProblem(options));
  EVILMOE_ASSIGN_OR_RETURN(const std::string code, ReadFile(options.file, kMaxFileBytes));
  EVILMOE_ASSIGN_OR_RETURN(const Verdict verdict, grader.RunSolution(problem, code, clock.Now() + kSampleTimeout));
  const Json line = {{"kind", VerdictName(verdict.kind)},
                     {"index", verdict.index},
                     {"signal", verdict.signal},
                     {"syscall", verdict.syscall.empty() ? Json() : Json(verdict.syscall)},
                     {"error", verdict.error},
                     {"cpu_ms", verdict.cpu_ms},
                     {"wall_ms", verdict.wall_ms},
                     {"peak_rss_bytes", verdict.peak_rss_bytes},
                     {"tier", "C"}};
  out << line.dump() << std::endl;
  return absl::OkStatus();
}

}  // namespace evilmoe
