#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evilmoe {

// How one run ended. A failure of the grader itself is not a verdict but a Status.
enum class VerdictKind {
  kPass,
  kWrongAnswer,       // at `index`
  kCompileError,      // compile() of the solution failed, or the source is over its size cap
  kLoadError,         // executing the module raised `error`
  kRuntimeError,      // call `index` raised `error`
  kTimeout,           // `error` is "cpu" or "wall"
  kMemoryLimit,
  kOutputLimit,
  kNoResult,          // the process ended by itself before the last result
  kCrash,             // by `signal`
  kProtocolError,     // it wrote something else than results where results go
  kSandboxViolation,  // a system call that only an attack makes; killed
  kTestFunctionAbsent,  // a channel's function is not in the response; nothing was executed
  kNoReport,            // a channel's run came to its end, and the report that it is read for is not there
};
inline constexpr VerdictKind kLastVerdictKind = VerdictKind::kNoReport;

std::string_view VerdictName(VerdictKind kind);  // "PASS", "WRONG_ANSWER", ...

struct Verdict {
  VerdictKind kind = VerdictKind::kNoResult;
  int index = -1;     // first failing test, or the one that a run was at when it ended; -1 = none
  int tests_passed = 0;  // of ground truth, before that one
  int signal = 0;
  std::string syscall;  // kSandboxViolation: the forbidden call; empty = not known
  std::string error;  // type of the exception or what broke; written by the run, so show it, never trust it
  std::string values_digest;  // of ground truth: SHA-256 over all values in order, hex; two equal runs have the same
  double cpu_ms = 0;
  double wall_ms = 0;
  int64_t peak_rss_bytes = 0;
};

}  // namespace evilmoe
