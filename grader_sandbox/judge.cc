#include "grader_sandbox/judge.h"

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

// A run writes this, so only what prints is kept.
std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 100)) out.push_back(c >= 0x20 && c < 0x7f ? c : '?');
  return out;
}

Verdict Failed(VerdictKind kind, std::string_view error, int index = -1) {
  return {.kind = kind, .index = index, .error = Printable(error)};
}

absl::Status Unexpected(const Frame& frame) {
  return absl::InvalidArgumentError(absl::StrCat("frame: unexpected type ", std::string(1, static_cast<char>(frame.type))));
}

absl::Status SetupFailed(const Frame& frame) {
  return absl::FailedPreconditionError(
      absl::StrCat("problem: its setup code fails, ", Printable(frame.payload), ", expected code that runs"));
}

// The value of call `index`, or how that call failed.
struct CallResult {
  std::optional<Value> value;
  Verdict failure;
};
absl::StatusOr<CallResult> ReadCallResult(const Frame& frame, size_t index) {
  ByteReader reader(frame.payload);
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t told, reader.U32());
  if (told != index) return absl::InvalidArgumentError(absl::StrCat("frame: result ", told, ", expected ", index));
  const int at = static_cast<int>(index);
  if (frame.type == FrameType::kTooLarge) return CallResult{{}, Failed(VerdictKind::kOutputLimit, "value too large", at)};
  if (frame.type == FrameType::kRaised) {
    EVILMOE_ASSIGN_OR_RETURN(const std::string_view error, reader.Take(reader.size()));
    return CallResult{{}, Failed(VerdictKind::kRuntimeError, error, at)};
  }
  if (frame.type != FrameType::kValue) return Unexpected(frame);
  EVILMOE_ASSIGN_OR_RETURN(Value value, DecodeValue(reader));
  EVILMOE_RETURN_IF_ERROR(reader.AtEnd());
  return CallResult{std::move(value), {}};
}

}  // namespace

absl::StatusOr<std::optional<Verdict>> StagedJudge::OnFrame(const Frame& frame) {
  if (stage_ == Stage::kStart) {
    if (frame.type == FrameType::kSetupFailed) return SetupFailed(frame);
    if (frame.type != FrameType::kCompiled) return Unexpected(frame);
    if (!frame.payload.empty()) return Failed(VerdictKind::kCompileError, frame.payload);
    stage_ = Stage::kCompiled;
    return std::nullopt;
  }
  if (stage_ == Stage::kCompiled) {
    if (frame.type == FrameType::kTest) return OnTest(frame);
    if (frame.type != FrameType::kLoaded) return Unexpected(frame);
    if (!frame.payload.empty()) return Failed(VerdictKind::kLoadError, frame.payload);
    stage_ = Stage::kLoaded;
    return std::nullopt;
  }
  return OnResult(frame);
}

absl::StatusOr<std::optional<Verdict>> StagedJudge::OnTest(const Frame& frame) { return Unexpected(frame); }

void GroundTruthJudge::Reset() {
  StagedJudge::Reset();
  next_ = 0;
  values_.clear();
}

absl::StatusOr<std::optional<Verdict>> GroundTruthJudge::OnResult(const Frame& frame) {
  EVILMOE_ASSIGN_OR_RETURN(const CallResult result, ReadCallResult(frame, next_));
  AppendText(values_, frame.payload);
  Verdict verdict{.kind = VerdictKind::kPass};
  if (!result.value) {
    verdict = result.failure;
  } else if (!comparer_.Equal(*result.value, expected_[next_])) {
    const PyOpaque* opaque = result.value->As<PyOpaque>();
    verdict = Failed(VerdictKind::kWrongAnswer, opaque != nullptr ? opaque->type : "", static_cast<int>(next_));
  } else if (++next_ < expected_.size()) {
    return std::nullopt;
  }
  verdict.values_digest = Sha256Hex(values_);
  return verdict;
}

void TestFunctionJudge::Reset() {
  StagedJudge::Reset();
  looked_ = false;
  found_ = {};
}

absl::StatusOr<std::optional<Verdict>> TestFunctionJudge::OnTest(const Frame& frame) {
  if (looked_) return Unexpected(frame);  // the first was written before the solution could write one
  looked_ = true;
  ByteReader reader(frame.payload);
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t found, reader.Byte());
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view owner, reader.Text());
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view source, reader.Text());
  found_ = {.found = found != 0, .is_method = !owner.empty(), .source = std::string(source)};
  if (!found_.found) return Verdict{.kind = VerdictKind::kTestFunctionAbsent};
  return std::nullopt;
}

absl::StatusOr<std::optional<Verdict>> TestFunctionJudge::OnResult(const Frame& frame) {
  if (frame.type != FrameType::kReturned) return Unexpected(frame);
  if (!frame.payload.empty()) return Failed(VerdictKind::kRuntimeError, frame.payload);
  return Verdict{.kind = VerdictKind::kPass};
}

absl::StatusOr<std::optional<Verdict>> ScriptJudge::OnFrame(const Frame& frame) {
  if (compiled_) {
    if (frame.type != FrameType::kReturned) return Unexpected(frame);
    if (frame.payload.empty()) return Verdict{.kind = VerdictKind::kPass};
    return Failed(VerdictKind::kNoReport, frame.payload);
  }
  if (frame.type == FrameType::kSetupFailed) return SetupFailed(frame);
  if (frame.type != FrameType::kCompiled) return Unexpected(frame);
  if (!frame.payload.empty()) return Failed(VerdictKind::kCompileError, frame.payload);
  compiled_ = true;
  return std::nullopt;
}

void RecordingJudge::Reset() {
  StagedJudge::Reset();
  values_.clear();
}

absl::StatusOr<std::optional<Verdict>> RecordingJudge::OnResult(const Frame& frame) {
  EVILMOE_ASSIGN_OR_RETURN(CallResult result, ReadCallResult(frame, values_.size()));
  if (!result.value) return result.failure;
  values_.push_back(*std::move(result.value));
  if (values_.size() < num_calls_) return std::nullopt;
  return Verdict{.kind = VerdictKind::kPass};
}

}  // namespace evilmoe
