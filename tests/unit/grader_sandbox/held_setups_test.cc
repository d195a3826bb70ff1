#include "grader_sandbox/held_setups.h"

#include "absl/strings/str_cat.h"
#include "grader_sandbox/judge.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

Cell HoldingCell(std::vector<std::string> setups) {
  return Cell({.zygote_binary = ZygoteBinary(), .setups = std::move(setups)});
}

// What f(1) of `source` returns after `setup`, as a literal, or the verdict's name.
std::string Answer(Cell& cell, const std::string& setup, const std::string& source) {
  RecordingJudge judge(1);
  const RunRequest request{.setup_code = setup,
                           .source = source,
                           .name = "f",
                           .encoded_calls = {EncodeCall({.method = "f", .positional = {Value(MakePyInt(1))}}).value()}};
  const absl::StatusOr<RunOutcome> outcome = cell.Run(request, {}, judge, GoOn);
  if (absl::IsFailedPrecondition(outcome.status())) return std::string(outcome.status().message());
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  if (!outcome.ok()) return "";
  if (outcome->verdict.kind != VerdictKind::kPass) return std::string(VerdictName(outcome->verdict.kind));
  return WriteLiteral(judge.values()[0]).value();
}

constexpr char kNodes[] = R"py(from typing import *
from collections import *
from math import *
import math
inf = float('inf')

class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next

def list_node(values):
    return [ListNode(value).val for value in values]
)py";

struct SetupCase {
  const char* name;
  std::string setup;
};

std::vector<SetupCase> Setups() {
  return {{"Nodes", kNodes},
          {"Empty", ""},
          {"RestWithEffect", "import math\nmath.pi = 3\nthree = math.pi\n"},
          {"NothingHarmless", "for number in range(3):\n    pass\n"},
          {"DocstringAndFuture", "'a text'\nfrom __future__ import annotations\nimport math\n"},
          {"Annotated", "import math\nnumber: int = 3\n"},
          {"NoPython", "import math\ndef ("},
          {"Raises", "import math\nraise KeyError('x')"},
          {"ImportsNothing", "import math\nimport nothing_of_that_name\n"},
          {"NotUtf8", "import math\nx = '\xff'\n"}};
}

class HeldSetupTest : public ::testing::TestWithParam<SetupCase> {};

// Whatever is run beforehand, a solution finds what it would find otherwise.
TEST_P(HeldSetupTest, IsAsIfTheRunDidIt) {
  Cell holding = HoldingCell({GetParam().setup});
  Cell plain({.zygote_binary = ZygoteBinary()});
  const std::string look =
      "import sys\n" +
      Method("names = sorted((name, type(value).__name__, getattr(value, '__module__', None))"
             " for name, value in globals().items())\n"
             "        return [names, __name__, __doc__, Solution.__module__, sys.modules['__main__'].__dict__ is globals(),\n"
             "                 repr(globals().get('__annotations__')), type(__builtins__).__name__]");
  const std::string expected = Answer(plain, GetParam().setup, look);
  EXPECT_GT(expected.size(), 10u);
  EXPECT_EQ(Answer(holding, GetParam().setup, look), expected);
  EXPECT_EQ(Answer(holding, GetParam().setup, look), expected);
  // Nor does another setup find any of it.
  EXPECT_EQ(Answer(holding, "import json", look), Answer(plain, "import json", look));
}
INSTANTIATE_TEST_SUITE_P(Setups, HeldSetupTest, ::testing::ValuesIn(Setups()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(HeldSetup, IsRunBeforeTheRun) {
  // The collector does not tell of what was there before the run.
  const std::string look = "import gc\n" + Method("return any(thing is ListNode for thing in gc.get_objects())");
  Cell holding = HoldingCell({kNodes});
  Cell plain({.zygote_binary = ZygoteBinary()});
  EXPECT_EQ(Answer(holding, kNodes, look), "False");
  EXPECT_EQ(Answer(plain, kNodes, look), "True");
}

TEST(HeldSetup, RunsDoNotShareItsObjects) {
  Cell cell = HoldingCell({kNodes});
  const std::string change = Method("ListNode.marker = 1; globals()['marker'] = 2; math.marker = 3; return x");
  const std::string look = Method("return [hasattr(ListNode, 'marker'), 'marker' in globals(), hasattr(math, 'marker')]");
  EXPECT_EQ(Answer(cell, kNodes, change), "1");
  EXPECT_EQ(Answer(cell, kNodes, look), "[False, False, False]");
}

// Each would set a mark that every later run sees, were it run in the zygote.
TEST(HeldSetup, RunsNoCodeBeforehandButThatOfModules) {
  const std::vector<std::string> harmful = {
      "mark()",
      "x = mark()",
      "x = [mark() for _ in 'a']",
      "x = float(mark())",
      "x = f'{mark()}'",
      "x, y = mark(), 1",
      "if mark(): pass",
      "assert mark() is None",
      "def f(x=mark()): pass",
      "def f(*, x=mark()): pass",
      "def f(x: mark()): pass",
      "def f() -> mark(): pass",
      "@mark\ndef f(): pass",
      "class A(mark()): pass",
      "class A(metaclass=lambda *_: mark()): pass",
      "@mark\nclass A: pass",
      "class A:\n    mark()",
      "class A:\n    x = mark()",
      "class A:\n    def f(self, x=mark()): pass",
      "class A:\n    @mark\n    def f(self): pass",
      "class A:\n    class B:\n        mark()",
      "(lambda: mark())()",
  };
  const std::string marker = "import builtins\ndef mark(*_):\n    builtins.marked = True\n";
  for (const std::string& statement : harmful) {
    const std::string setup = marker + statement + "\n";
    Cell cell = HoldingCell({setup});
    EXPECT_EQ(Answer(cell, "", "import builtins\n" + Method("return hasattr(builtins, 'marked')")), "False") << statement;
  }
}

TEST(HeldSetup, OutlivesItsZygote) {
  Cell cell({.zygote_binary = ZygoteBinary(), .runs_per_zygote = 1, .setups = {kNodes, "import json\n"}});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Answer(cell, kNodes, Method("return list_node([x, 2])")), "[1, 2]");
}

TEST(SetupsToHold, AreTheMostCommonOnesThatFitInOneOrder) {
  std::vector<Problem> problems;
  const auto add = [&problems](const std::string& setup, int times) {
    Problem problem = AddOne();
    problem.setup_code = setup;
    problems.insert(problems.end(), static_cast<size_t>(times), problem);
  };
  add("", 9);
  add(std::string(kMaxHeldSetupBytes + 1, '#'), 9);
  add(std::string(kMaxHeldSetupBytes, '#'), 1);
  for (int i = 0; i < 20; ++i) add(absl::StrCat("setup ", 50 - i), 2 + i);
  std::vector<std::string> expected;
  for (int number = 31; number <= 46; ++number) expected.push_back(absl::StrCat("setup ", number));
  EXPECT_EQ(SetupsToHold(problems), expected);
  EXPECT_TRUE(SetupsToHold({}).empty());
}

}  // namespace
}  // namespace evilmoe
