#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/unit/grader_sandbox/hostile_cases.h"

namespace evilmoe {

// Rows that make raw system calls, through ctypes. The solution goes on when a call is refused, and is right when all
// are refused as they should be.

// `lines`: of f(self, x). They have call(number, arguments...), which is 'did it' or the name of the errno.
HostileCase NativeCase(int line, const std::string& name, const std::string& lines,
                       Ending want = {{VerdictKind::kPass}});

struct Attempt {
  int64_t number;              // of the system call
  std::string arguments = "";  // Python's; pid, tid and space, 256 zero bytes, are there
};

// Right when every attempt gives `error`, and wrong when one does not.
HostileCase Denied(int line, const std::string& name, const std::vector<Attempt>& attempts,
                   const std::string& error = "EPERM");

// Ends the run, and is named in its verdict.
HostileCase Killed(int line, const std::string& syscall, int64_t number,
                   const std::string& arguments = "0, 0, 0, 0, 0, 0");

}  // namespace evilmoe
