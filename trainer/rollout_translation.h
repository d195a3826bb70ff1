#pragma once

#include "evilmoe/v1/coordinator.pb.h"
#include "policy/sampler/token_sampler.h"
#include "trainer/rollouts.h"

namespace evilmoe {

// Between the wire and what the trainer asks for and gets back.
v1::GroupSpec ToProto(const GroupRequest& group);
v1::SamplingSettings ToProto(const SamplingSettings& settings);
// Takes the text out of `result`.
Sample FromProto(v1::SampleResult& result);
// What the worker says of when it had the group.
GroupTimes TimesOf(const v1::GroupResult& result);

}  // namespace evilmoe
