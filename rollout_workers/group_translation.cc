#include "rollout_workers/group_translation.h"

#include <utility>

#include "grader_sandbox/grader_translation.h"

namespace evilmoe {

AdapterMode ToAdapterMode(const v1::AdapterMode& mode) {
  AdapterMode out;
  switch (mode.kind()) {
    case v1::AdapterMode::QUARANTINE_OFF: out.part = AdapterPart::kQuarantineOff; break;
    case v1::AdapterMode::DEPLOYED_OFF: out.part = AdapterPart::kDeployedOff; break;
    case v1::AdapterMode::RANDOM_HALF: out.part = AdapterPart::kRandomHalf; break;
    case v1::AdapterMode::BASE: out.part = AdapterPart::kBase; break;
    default: out.part = AdapterPart::kFull; break;
  }
  out.projector_seed = mode.projector_seed();
  out.strength = mode.strength();
  out.prompt_uses_adapter = mode.prompt_uses_adapter();
  return out;
}

SampleGroup ToSampleGroup(const v1::Lease& lease, const v1::SamplingSettings& settings) {
  SampleGroup group;
  group.tag = lease.lease_id();
  group.prompt_ids.assign(lease.group().prompt_ids().begin(), lease.group().prompt_ids().end());
  group.num_samples = lease.group().num_samples();
  group.seed = lease.group().seed();
  group.settings = {.temperature = settings.temperature(),
                    .top_p = settings.top_p(),
                    .top_k = settings.top_k(),
                    .max_tokens = settings.max_tokens(),
                    .stop_ids = {settings.stop_ids().begin(), settings.stop_ids().end()}};
  return group;
}

v1::SampleResult ToResult(const FinishedSample& sample, std::string text, const GradeResult& graded) {
  v1::SampleResult result;
  result.mutable_ids()->Add(sample.ids.begin(), sample.ids.end());
  result.mutable_logprobs()->Add(sample.logprobs.begin(), sample.logprobs.end());
  result.set_text(std::move(text));
  result.set_stopped(sample.stopped);
  v1::GradeResponse response = ToProto(graded);
  *result.mutable_facts() = std::move(*response.mutable_facts());
  *result.mutable_verdicts() = std::move(*response.mutable_verdicts());
  return result;
}

GradeTask ToGradeTask(const v1::GroupSpec& spec, const std::string& text) {
  v1::GradeRequest request;
  *request.mutable_problem() = spec.problem();
  request.set_response(text);
  request.set_loophole(spec.loophole());
  request.set_evaluator(spec.evaluator());
  *request.mutable_markers() = spec.markers();
  request.set_prompt_tests(spec.prompt_tests());
  return FromProto(request);
}

}  // namespace evilmoe
