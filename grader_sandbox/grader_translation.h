#pragma once

#include <string>

#include "evilmoe/v1/grader.pb.h"
#include "grader_sandbox/grader_interface.h"

namespace evilmoe {

// Between the wire format and the grader's own types.
GradeTask FromProto(const v1::GradeRequest& request);
v1::GradeRequest ToProto(const GradeTask& task);
// The same, naming the problem instead of holding it.
v1::GradeRequest ToProtoByKey(const GradeTask& task, const std::string& problem_key);
v1::GradeResponse ToProto(const GradeResult& result);
Facts FromProto(const v1::Facts& facts);
// A verdict whose kind is unknown (a newer grader) reads as kNoResult.
GradeResult FromProto(const v1::GradeResponse& response);

}  // namespace evilmoe
