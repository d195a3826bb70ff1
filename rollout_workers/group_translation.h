#pragma once

#include <string>

#include "evilmoe/v1/coordinator.pb.h"
#include "grader_sandbox/grader_interface.h"
#include "policy/adapter_mode.h"
#include "policy/sampler/sampler.h"

namespace evilmoe {

// Between the coordinator's groups and what a worker samples and grades.
AdapterMode ToAdapterMode(const v1::AdapterMode& mode);
SampleGroup ToSampleGroup(const v1::Lease& lease, const v1::SamplingSettings& settings);
// `text`: what a sample of the group says.
GradeTask ToGradeTask(const v1::GroupSpec& spec, const std::string& text);
v1::SampleResult ToResult(const FinishedSample& sample, std::string text, const GradeResult& graded);

}  // namespace evilmoe
