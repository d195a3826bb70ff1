#include "tests/unit/grader_sandbox/hostile_native.h"

#include <cctype>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace evilmoe {
namespace {

std::string Native(const std::string& lines) {
  return "import ctypes, errno, os, threading\nlibc = ctypes.CDLL(None, use_errno=True)\n"
         "libc.syscall.restype = ctypes.c_long\n"
         "def call(number, *arguments):\n"
         "    ctypes.set_errno(0)\n"
         "    wide = [ctypes.c_long(a) if type(a) is int else a for a in (number, *arguments)]\n"
         "    return 'did it' if libc.syscall(*wide) != -1 else errno.errorcode[ctypes.get_errno()]\n" +
         Body(lines);
}

}  // namespace

HostileCase NativeCase(int line, const std::string& name, const std::string& lines, Ending want) {
  return {line, name, Native(lines), std::move(want), {.native = true}};
}

HostileCase Denied(int line, const std::string& name, const std::vector<Attempt>& attempts, const std::string& error) {
  const std::string tried = absl::StrJoin(attempts, ", ", [](std::string* out, const Attempt& attempt) {
    absl::StrAppend(out, "(", attempt.number, ", [", attempt.arguments, "])");
  });
  return NativeCase(
      line, name,
      absl::StrCat("pid, tid = os.getpid(), threading.get_native_id()\nspace = ctypes.create_string_buffer(256)\n",
                   "results = [(n, call(n, *a)) for n, a in [", tried, "]]\n",
                   "print(results)\nreturn x + 1 if all(r == '", error, "' for _, r in results) else 'did it'"));
}

HostileCase Killed(int line, const std::string& syscall, int64_t number, const std::string& arguments) {
  std::string name = "Kills";
  bool upper = true;
  for (const char c : syscall) {
    if (c != '_') name += upper ? static_cast<char>(std::toupper(c)) : c;
    upper = c == '_';
  }
  return NativeCase(line, name, absl::StrCat("call(", number, ", ", arguments, ")\nreturn x + 1"),
                    {{VerdictKind::kSandboxViolation}, "", {}, SIGSYS, syscall});
}

}  // namespace evilmoe
