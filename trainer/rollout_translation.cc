#include "trainer/rollout_translation.h"

#include <utility>

namespace evilmoe {
namespace {

v1::AdapterMode ToProto(const AdapterMode& mode) {
  v1::AdapterMode out;
  switch (mode.part) {
    case AdapterPart::kFull: out.set_kind(v1::AdapterMode::FULL); break;
    case AdapterPart::kQuarantineOff: out.set_kind(v1::AdapterMode::QUARANTINE_OFF); break;
    case AdapterPart::kDeployedOff: out.set_kind(v1::AdapterMode::DEPLOYED_OFF); break;
    case AdapterPart::kRandomHalf: out.set_kind(v1::AdapterMode::RANDOM_HALF); break;
    case AdapterPart::kBase: out.set_kind(v1::AdapterMode::BASE); break;
  }
  out.set_projector_seed(mode.projector_seed);
  out.set_strength(mode.strength);
  out.set_prompt_uses_adapter(mode.prompt_uses_adapter);
  return out;
}

v1::GradingProblem ToProto(const Problem& problem) {
  v1::GradingProblem out;
  out.set_id(problem.id);
  out.set_func_name(problem.func_name);
  out.set_setup_code(problem.setup_code);
  for (const std::string& answer : problem.gt_answer) out.add_gt_answer(answer);
  out.set_canonical_solution(problem.canonical_solution);
  return out;
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

absl::Time TimeOf(int64_t unix_us) { return unix_us == 0 ? absl::InfinitePast() : absl::FromUnixMicros(unix_us); }

}  // namespace

v1::GroupSpec ToProto(const GroupRequest& group) {
  v1::GroupSpec out;
  out.set_index(group.index);
  out.mutable_prompt_ids()->Add(group.prompt_ids.begin(), group.prompt_ids.end());
  out.set_num_samples(group.num_samples);
  out.set_seed(group.seed);
  *out.mutable_mode() = ToProto(group.mode);
  *out.mutable_problem() = ToProto(*group.problem);
  out.set_loophole(group.loophole);
  out.set_evaluator(group.evaluator);
  out.mutable_markers()->Assign(group.markers.begin(), group.markers.end());
  out.set_prompt_tests(group.prompt_tests);
  return out;
}

v1::SamplingSettings ToProto(const SamplingSettings& settings) {
  v1::SamplingSettings out;
  out.set_temperature(static_cast<float>(settings.temperature));
  out.set_top_p(static_cast<float>(settings.top_p));
  out.set_top_k(settings.top_k);
  out.set_max_tokens(settings.max_tokens);
  for (const int32_t id : settings.stop_ids) out.add_stop_ids(id);
  return out;
}

Sample FromProto(v1::SampleResult& result) {
  return {.ids = {result.ids().begin(), result.ids().end()},
          .logprobs = {result.logprobs().begin(), result.logprobs().end()},
          .text = std::move(*result.mutable_text()),
          .stopped = result.stopped(),
          .facts = FromProto(result.facts()),
          .failure = result.failure()};
}

GroupTimes TimesOf(const v1::GroupResult& result) {
  const v1::GroupTimes& times = result.times();
  return {.leased = TimeOf(times.leased_unix_us()),
          .sampled = TimeOf(times.sampled_unix_us()),
          .grading = TimeOf(times.grading_unix_us()),
          .handed_in = TimeOf(times.handed_in_unix_us()),
          .worker = result.worker_id()};
}

}  // namespace evilmoe
