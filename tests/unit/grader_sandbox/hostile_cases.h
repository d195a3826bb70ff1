#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "grader_sandbox/isolation.h"
#include "grader_sandbox/verdict.h"

namespace evilmoe {

// The table of hostile inputs: what a solution may try, and the only verdicts that it may get for it. Unless a row says
// otherwise the method is f(x), the tests are AddOne()'s, and right is x + 1.

// The kinds of input; every one has at least one row, or a test elsewhere (hostile_lines.h).
struct HostileLine {
  int line;
  std::string_view what;
};

// How a run may end. A field that is left out may be anything.
struct Ending {
  std::set<VerdictKind> kinds;
  std::string error = "";         // part of Verdict::error
  std::optional<int> index = {};  // of the failing test
  int signal = 0;
  std::string syscall = "";
};

// Two runs of one source: whether they return the same values.
enum class Twice { kNotTried, kSame, kDifferent };

struct HostileSetting {
  absl::Duration cpu = absl::Milliseconds(250);  // RunLimits::cpu
  std::map<Tier, Ending> in_tier = {};           // where a tier differs
  std::string then = "";                         // the next run, which has to pass; empty = AddOne()'s solution
  std::vector<std::string> tests = {};           // asserts; empty = AddOne()'s
  Twice twice = Twice::kNotTried;
  bool native = false;       // with ctypes: any system call can be made
  bool plain_build = false;  // AddressSanitizer answers in its own way, or leaves no room for a limit
  // A program in a scratch folder (RunKind::kScript): passing says nothing, what it prints and leaves does.
  bool files = false;
  std::string printed = {};                 // all of it
  std::vector<std::string> left_over = {};  // names of files
};

struct HostileCase {
  int line;  // HostileLine::line
  std::string name;
  std::string source;
  Ending want;
  HostileSetting how = {};
};

std::vector<HostileCase> SourceCases();    // what is no program, ends early, or imports
std::vector<HostileCase> ForgeryCases();   // claims to be right
std::vector<HostileCase> ValueCases();     // returns odd values; many or large arguments
std::vector<HostileCase> ResourceCases();  // uses time and memory up
std::vector<HostileCase> SystemCases();    // asks Python for the system
std::vector<HostileCase> NativeCases();    // asks the kernel, through ctypes
std::vector<HostileCase> AttackCases();    // asks it for what no solution needs
std::vector<HostileCase> FileCases();      // uses a scratch folder

// Every row of them all; made once.
const std::vector<HostileCase>& HostileCases();

std::vector<HostileCase> Joined(const std::vector<std::vector<HostileCase>>& parts);

// f(self, x) with these lines, the first of which may be empty, as its body.
std::string Body(std::string_view lines);

}  // namespace evilmoe
