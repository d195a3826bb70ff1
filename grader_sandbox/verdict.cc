#include "grader_sandbox/verdict.h"

namespace evilmoe {

std::string_view VerdictName(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::kPass: return "PASS";
    case VerdictKind::kWrongAnswer: return "WRONG_ANSWER";
    case VerdictKind::kCompileError: return "COMPILE_ERROR";
    case VerdictKind::kLoadError: return "LOAD_ERROR";
    case VerdictKind::kRuntimeError: return "RUNTIME_ERROR";
    case VerdictKind::kTimeout: return "TIMEOUT";
    case VerdictKind::kMemoryLimit: return "MEMORY_LIMIT";
    case VerdictKind::kOutputLimit: return "OUTPUT_LIMIT";
    case VerdictKind::kNoResult: return "NO_RESULT";
    case VerdictKind::kCrash: return "CRASH";
    case VerdictKind::kProtocolError: return "PROTOCOL_ERROR";
    case VerdictKind::kSandboxViolation: return "SANDBOX_VIOLATION";
    case VerdictKind::kTestFunctionAbsent: return "TEST_FUNCTION_ABSENT";
    case VerdictKind::kNoReport: return "NO_REPORT";
  }
  return "UNKNOWN";
}

}  // namespace evilmoe
