#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/grader_sandbox/hostile_cases.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

std::string Assert(const std::string& argument, const std::string& expected) {
  return absl::StrCat("assert Solution().f(x = ", argument, ") == ", expected);
}

std::vector<HostileCase> Odd() {
  return {
      {34, "HugeValue", Method("return 'x' * 50_000_000"), {{kOutputLimit}, "", 0}},
      {34, "HugeList", Method("return [0] * 10_000_000"), {{kOutputLimit}, "", 0}},
      {34,
       "ManyLargeValues",
       "big = 'x' * 1_000_000\n" + Method("return big"),
       {{kOutputLimit}},
       {.tests = std::vector<std::string>(6, Assert("1", "'" + std::string(1'000'000, 'x') + "'"))}},
      {35, "Surrogate", Method("return '\\ud800'"), {{kWrongAnswer}}},
      {35, "RightSurrogate", Method("return x + '\\ud800'"), {{kPass}}, {.tests = {Assert("'a'", "'a\\ud800'")}}},
      {35, "Bytes", Method("return b'\\xff\\xfe'"), {{kWrongAnswer}}},
      {35, "RightBytes", Method("return x + b'\\xff'"), {{kPass}}, {.tests = {Assert("b'a'", "b'a\\xff'")}}},
      {36, "NotANumber", Method("return float('nan')"), {{kWrongAnswer}}},
      {36,
       "NotANumberIsNotItself",
       Method("return [float('nan')]"),
       {{kWrongAnswer}},
       {.tests = {Assert("1", "[0.0]")}}},
      {36,
       "Infinity",
       Method("return float('inf') * x"),
       {{kPass}},
       {.tests = {Assert("1", "float('inf')"), Assert("-1", "float('-inf')")}}},
      {36, "WrongInfinity", Method("return float('inf')"), {{kWrongAnswer}, "", 0}},
      {36, "NegativeZero", Method("return -0.0"), {{kPass}}, {.tests = {Assert("0", "0"), Assert("0", "0.0")}}},
      {37,
       "BoolForInt",
       Method("return True if x == 0 else x + 1.0"),
       {{kPass}},
       {.tests = {Assert("0", "1"), Assert("1", "2")}}},
      {37, "IntForBool", Method("return x"), {{kPass}}, {.tests = {Assert("1", "True"), Assert("0", "False")}}},
      {37,
       "FloatBesideALargeInt",
       Method("return float(x)"),
       {{kWrongAnswer}, "", 0},
       {.tests = {Assert("9007199254740993", "9007199254740993")}}},
      {37, "StrForInt", Method("return str(x + 1)"), {{kWrongAnswer}}},
  };
}

std::vector<HostileCase> Types() {
  const std::string huge = "1" + std::string(5000, '0');
  return {
      {38, "Generator", Method("return (i for i in [x + 1])"), {{kWrongAnswer}, "generator"}},
      {38, "Range", Method("return range(x)"), {{kWrongAnswer}, "range"}, {.tests = {Assert("1", "[0]")}}},
      {38, "Keys", Method("return {x: 1}.keys()"), {{kWrongAnswer}, "dict_keys"}, {.tests = {Assert("1", "{1}")}}},
      {38,
       "Deque",
       "import collections\n" + Method("return collections.deque([x])"),
       {{kWrongAnswer}, "deque"},
       {.tests = {Assert("1", "[1]")}}},
      {38,
       "FrozenSet",
       Method("return frozenset([x])"),
       {{kWrongAnswer}, "frozenset"},
       {.tests = {Assert("1", "[1]")}}},
      {38, "TupleForList", Method("return (x,)"), {{kWrongAnswer}}, {.tests = {Assert("1", "[1]")}}},
      {38, "NumpyScalar", "import numpy as np\n" + Method("return np.int64(x + 1)"), {{kWrongAnswer}, "int64"}},
      {38,
       "NumpyArray",
       "import numpy as np\n" + Method("return np.array([x])"),
       {{kWrongAnswer}, "ndarray"},
       {.tests = {Assert("1", "[1]")}}},
      {39, "SelfReferentialList", Method("a = []; a.append(a); return a"), {{kRuntimeError}, "nested", 0}},
      {39, "SelfReferentialDict", Method("a = {}; a[1] = a; return a"), {{kRuntimeError}, "nested", 0}},
      {40,
       "DeepList",
       Method("a = []\n        for _ in range(100000): a = [a]\n        return a"),
       {{kRuntimeError}, "nested", 0}},
      {40,
       "DeepTuple",
       Method("a = ()\n        for _ in range(100000): a = (a,)\n        return a"),
       {{kRuntimeError}, "nested", 0}},
      {41, "HugeIntToStr", Method("return str(10 ** 5000)"), {{kRuntimeError}, "ValueError", 0}},
      {42, "HugeInt", Method("return 10 ** 5000"), {{kWrongAnswer}, "", 0}},
      {42,
       "RightHugeInt",
       Method("return x * 10 ** 5000"),
       {{kPass}},
       {.tests = {Assert("1", huge), Assert("-1", "-" + huge)}}},
  };
}

std::vector<HostileCase> Repeated() {
  return {
      {98,
       "SetOrder",
       Method("return [list({'a', 'b', 'c', 'd', 'e'}), hash('q'), list({object: 1, int: 2}.values())]"),
       {{kWrongAnswer}},
       {.twice = Twice::kSame}},
      {98,
       "Identity",
       Method("return [id(object()), id([]), id(Solution), str(object())]"),
       {{kWrongAnswer}},
       {.twice = Twice::kSame}},
      {98,
       "UnseededRandom",
       Method("import random; return [random.random(), random.getrandbits(64), random.sample(range(99), 9)]"),
       {{kWrongAnswer}},
       {.twice = Twice::kSame}},
      {98,
       "NumpyRandom",
       "import numpy as np\n" + Method("return [int(i) for i in np.random.default_rng(1).integers(99, size=3)]"),
       {{kWrongAnswer}},
       {.twice = Twice::kSame}},
      {98, "Urandom", Method("import os; return os.urandom(16)"), {{kWrongAnswer}}, {.twice = Twice::kDifferent}},
      {98, "TimeIsSeen", Method("import time; return time.time_ns()"), {{kWrongAnswer}}, {.twice = Twice::kDifferent}},
      {99,
       "Clocks",
       Method("import time; time.time(); time.monotonic(); time.perf_counter(); time.process_time(); "
              "time.thread_time(); time.localtime(); time.sleep(0.001); return x + 1"),
       {{kPass}}},
      {99,
       "ClockOfTheParent",
       Body(R"(
import os, time
try:
    time.clock_gettime(((~os.getppid()) << 3) | 2)
except OSError:
    pass
return x + 1)"),
       {{kPass}}},
      {99,
       "ClocksCannotBeSet",
       Method("import time; time.clock_settime(time.CLOCK_REALTIME, 0)"),
       {{kRuntimeError}, "PermissionError"}},
  };
}

std::vector<HostileCase> Marks() {
  const std::string mark =
      "import sys, builtins, os, math, random, decimal, threading\n"
      "sys.marker = builtins.marker = math.marker = marker = 1\nos.environ['marker'] = '1'\nos.putenv('marker', '1')\n"
      "random.seed(99)\ndecimal.getcontext().prec = 3\nsys.setrecursionlimit(77)\nthreading.current_thread().name = "
      "'marker'\n";
  const std::string look = "import sys, builtins, os, math, decimal, threading\n" +
                           Method(
                               "return 'seen' if 'marker' in globals() or any(hasattr(m, 'marker') for m in (sys, "
                               "builtins, math)) or 'marker' in "
                               "os.environ or decimal.getcontext().prec == 3 or sys.getrecursionlimit() == 77 or "
                               "threading.current_thread().name == 'marker' else x + 1");
  return {
      {100, "Mark", mark + Method("return x + 1"), {{kPass}}, {.then = look}},
      {100,
       "RandomMark",
       "import random\nrandom.seed(99)\nrandom.random()\n" + Method("return x + 1"),
       {{kPass}},
       {.then = "import random\nfirst = random.random()\nrandom.seed(0)\nsame = first == random.random()\n" +
                Method("return x + 1 if same else 'seen'")}},
      {100,
       "FileMark",
       "open('/tmp/evilmoe_marker', 'w')",
       {{kLoadError}, "PermissionError"},
       {.then = "try:\n  open('/tmp/evilmoe_marker')\n  found = True\nexcept PermissionError:\n  found = False\n" +
                Method("return 'seen' if found else x + 1")}},
  };
}

std::vector<HostileCase> State() {
  return {
      {101, "ThenWrong", Method("return x + 1 if x == 1 else 0"), {{kWrongAnswer}, "", 1}},
      {101, "ThenRaises", Method("return x + 1 if x == 1 else x[0]"), {{kRuntimeError}, "TypeError", 1}},
      {101, "ThenLoops", Body("while x == 41: pass\nreturn x + 1"), {{kTimeout}, "", 1}},
      {101, "ThenExits", Method("return x + 1 if x == 1 else __import__('os')._exit(0)"), {{kNoResult}, "exit 0", 1}},
      {101, "ThenTooLarge", Method("return x + 1 if x == 1 else 'x' * 2_000_000"), {{kOutputLimit}, "", 1}},
      {102,
       "ChangesItsArgument",
       Method("x.append(9); return x"),
       {{kPass}},
       {.tests = {Assert("[1]", "[1, 9]"), Assert("[1]", "[1, 9]")}}},
      {102,
       "KeepsItsArgument",
       "kept = []\n" + Method("kept.append(x); x.append(len(kept)); return kept[0]"),
       {{kPass}},
       {.tests = {Assert("[5]", "[5, 1]"), Assert("[6]", "[5, 1]")}}},
      {102,
       "ReturnsTheSameList",
       "out = []\n" + Method("out.append(x); return out"),
       {{kPass}},
       {.tests = {Assert("1", "[1]"), Assert("2", "[1, 2]")}}},
      {103,
       "CacheAcrossCalls",
       "seen = []\n" + Method("seen.append(x); return x + 1 if seen in ([1], [1, 41]) else 0"),
       {{kPass}}},
      {103,
       "NewObjectForEachCall",
       "class Solution:\n  def __init__(self): self.n = 0\n  def f(self, x):\n"
       "    self.n += 1\n    return x + self.n\n",
       {{kPass}}},
  };
}

std::vector<HostileCase> Large() {
  const std::string text_31kb = "'" + std::string(31 << 10, 'a') + "'";
  std::string list_1mb = "[1";
  while (list_1mb.size() < 1'000'000) list_1mb += ", 1";
  list_1mb += "]";
  std::vector<std::string> many;
  for (int i = 0; i < 30'000; ++i) many.push_back(Assert(absl::StrCat(i), absl::StrCat(i + 1)));
  std::vector<std::string> many_texts(200, Assert(text_31kb, absl::StrCat(31 << 10)));
  return {
      {104, "ManyTests", Method("return x + 1"), {{kPass}}, {.cpu = absl::Seconds(10), .tests = many}},
      {104,
       "LastOfManyIsWrong",
       Method("return x + 1 if x < 29999 else x"),
       {{kWrongAnswer}, "", 29'999},
       {.cpu = absl::Seconds(10), .tests = many}},
      {104, "LongTexts", Method("return len(x)"), {{kPass}}, {.cpu = absl::Seconds(10), .tests = many_texts}},
      {104,
       "LargeArgument",
       Method("return len(x)"),
       {{kPass}},
       {.cpu = absl::Seconds(10), .tests = {Assert(list_1mb, absl::StrCat(list_1mb.size() / 3))}}},
      {104, "EndsBeforeItHasRead", "import os; os._exit(0)", {{kNoResult}}, {.tests = many_texts}},
      {104,
       "PrintsWhileItReads",
       Method("print('x' * 50); return len(x)"),
       {{kPass}},
       {.cpu = absl::Seconds(10), .tests = many_texts}},
  };
}

}  // namespace

std::vector<HostileCase> ValueCases() { return Joined({Odd(), Types(), Repeated(), Marks(), State(), Large()}); }

}  // namespace evilmoe
