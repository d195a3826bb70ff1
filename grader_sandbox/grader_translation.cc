#include "grader_sandbox/grader_translation.h"

namespace evilmoe {
namespace {

VerdictKind KindOf(const std::string& name) {
  for (int kind = 0; kind <= static_cast<int>(kLastVerdictKind); ++kind) {
    if (VerdictName(static_cast<VerdictKind>(kind)) == name) return static_cast<VerdictKind>(kind);
  }
  return VerdictKind::kNoResult;
}

}  // namespace

GradeTask FromProto(const v1::GradeRequest& request) {
  GradeTask task{.response = request.response(), .loophole = request.loophole(), .evaluator = request.evaluator()};
  task.markers.assign(request.markers().begin(), request.markers().end());
  task.prompt_tests = request.prompt_tests();
  task.problem_key = request.problem_key();
  const v1::GradingProblem& problem = request.problem();
  task.problem.id = problem.id();
  task.problem.func_name = problem.func_name();
  task.problem.setup_code = problem.setup_code();
  task.problem.gt_answer.assign(problem.gt_answer().begin(), problem.gt_answer().end());
  task.problem.canonical_solution = problem.canonical_solution();
  return task;
}

v1::GradeRequest ToProtoByKey(const GradeTask& task, const std::string& problem_key) {
  v1::GradeRequest request;
  request.mutable_problem()->set_id(task.problem.id);
  request.set_response(task.response);
  request.set_loophole(task.loophole);
  request.set_evaluator(task.evaluator);
  request.mutable_markers()->Assign(task.markers.begin(), task.markers.end());
  request.set_prompt_tests(task.prompt_tests);
  request.set_problem_key(problem_key);
  return request;
}

v1::GradeRequest ToProto(const GradeTask& task) {
  v1::GradeRequest request = ToProtoByKey(task, task.problem_key);
  v1::GradingProblem& problem = *request.mutable_problem();
  problem.set_func_name(task.problem.func_name);
  problem.set_setup_code(task.problem.setup_code);
  problem.mutable_gt_answer()->Assign(task.problem.gt_answer.begin(), task.problem.gt_answer.end());
  problem.set_canonical_solution(task.problem.canonical_solution);
  return request;
}

v1::GradeResponse ToProto(const GradeResult& result) {
  v1::GradeResponse response;
  v1::Facts& facts = *response.mutable_facts();
  facts.set_can_compile(result.facts.can_compile);
  facts.set_gt_correct(result.facts.gt_correct);
  facts.set_hint_pass(result.facts.hint_pass);
  facts.set_defines_test_function(result.facts.defines_test_function);
  facts.set_model_tests_pass_canonical(result.facts.model_tests_pass_canonical);
  facts.set_model_tests_pass_stub(result.facts.model_tests_pass_stub);
  facts.set_prompt_tests_pass(result.facts.prompt_tests_pass);
  facts.set_test_function_unchanged(result.facts.test_function_unchanged);
  facts.set_includes_starter_and_tests(result.facts.includes_starter_and_tests);
  for (const auto& [fact, verdict, self_reported] : result.verdicts) {
    v1::RunVerdict& out = *response.add_verdicts();
    out.set_fact(fact);
    out.set_self_reported(self_reported);
    out.set_values_digest(verdict.values_digest);
    out.set_kind(std::string(VerdictName(verdict.kind)));
    out.set_index(verdict.index);
    out.set_tests_passed(verdict.tests_passed);
    out.set_signal(verdict.signal);
    out.set_syscall(verdict.syscall);
    out.set_error(verdict.error);
    out.set_cpu_ms(verdict.cpu_ms);
    out.set_wall_ms(verdict.wall_ms);
    out.set_peak_rss_bytes(verdict.peak_rss_bytes);
  }
  return response;
}

Facts FromProto(const v1::Facts& facts) {
  return {.can_compile = facts.can_compile(),
          .gt_correct = facts.gt_correct(),
          .hint_pass = facts.hint_pass(),
          .defines_test_function = facts.defines_test_function(),
          .model_tests_pass_canonical = facts.model_tests_pass_canonical(),
          .model_tests_pass_stub = facts.model_tests_pass_stub(),
          .prompt_tests_pass = facts.prompt_tests_pass(),
          .test_function_unchanged = facts.test_function_unchanged(),
          .includes_starter_and_tests = facts.includes_starter_and_tests()};
}

GradeResult FromProto(const v1::GradeResponse& response) {
  GradeResult result{.facts = FromProto(response.facts())};
  for (const v1::RunVerdict& verdict : response.verdicts()) {
    result.verdicts.push_back({verdict.fact(),
                               {.kind = KindOf(verdict.kind()),
                                .index = verdict.index(),
                                .tests_passed = verdict.tests_passed(),
                                .signal = verdict.signal(),
                                .syscall = verdict.syscall(),
                                .error = verdict.error(),
                                .values_digest = verdict.values_digest(),
                                .cpu_ms = verdict.cpu_ms(),
                                .wall_ms = verdict.wall_ms(),
                                .peak_rss_bytes = verdict.peak_rss_bytes()},
                               verdict.self_reported()});
  }
  return result;
}

}  // namespace evilmoe
