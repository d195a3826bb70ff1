#include <csignal>
#include <string>

#include "tests/unit/grader_sandbox/hostile_cases.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

constexpr absl::Duration kLong = absl::Seconds(20);  // another limit than time is to be reached

// A busy loop may end by either limit: it depends on who else wants the cores.
std::vector<HostileCase> Time() {
  return {
      {43, "InfiniteLoop", Method("while True: pass"), {{kTimeout}}},
      {43, "InfiniteLoopAtImport", "while True: pass", {{kTimeout}}},
      {44, "Sleep", Method("import time; time.sleep(1e6)"), {{kTimeout}, "wall"}},
      {45, "UninterruptibleC", Method("return sum(range(10**13))"), {{kTimeout}}},
      {45,
       "UninterruptibleIteration",
       "import itertools, collections\n" + Method("collections.deque(itertools.repeat(0), maxlen=0)"),
       {{kTimeout}}},
      {46, "HugePower", Method("return 10 ** 10 ** 8"), {{kTimeout}}},
      {46, "HugePowerAtCompileTime", "x = 10 ** 10 ** 8\n" + Method("return x"), {{kTimeout}}},
      {47, "CatastrophicRegex", Method("import re; return re.match('(a+)+$', 'a' * 40 + 'b')"), {{kTimeout}}},
      {48,
       "HugeDecimal",
       Method("import decimal; decimal.getcontext().prec = 10**7; decimal.Decimal(2).sqrt(); return x + 1"),
       {{kPass, kTimeout}}},
      {49,
       "CatchesAll",
       Body(R"(
while True:
    try:
        raise ValueError
    except BaseException:
        pass)"),
       {{kTimeout}}},
      {50,
       "IgnoresSignals",
       "import signal\nfor s in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU, signal.SIGINT):\n"
       "  signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
       {{kTimeout}}},
      {50,
       "BlocksSignals",
       "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
       {{kTimeout}}},
      {51,
       "StopsAlarms",
       "import signal\nsignal.alarm(0)\nfor t in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, "
       "signal.ITIMER_PROF):\n  signal.setitimer(t, 0)\nwhile True: pass",
       {{kTimeout}}},
      {51,
       "AlarmInAHandler",
       "import signal, time\ndef h(*a): raise ValueError\nsignal.signal(signal.SIGALRM, h)\n" +
           Method("signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01); time.sleep(9)"),
       {{kRuntimeError}, "ValueError"}},
      // As process 1 of its namespace it is deaf to what it does not handle.
      {51,
       "DiesOfAnAlarm",
       Method("import signal, time; signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(9)"),
       {{kTimeout}, "wall"},
       {.in_tier = {{Tier::kC, {{kCrash}, "", {}, SIGALRM}}}}},
      {52,
       "Deadlock",
       Method("import threading; l = threading.Lock(); l.acquire(); l.acquire()"),
       {{kTimeout}, "wall"}},
      {52, "PipeDeadlock", Method("import os; r, w = os.pipe(); os.read(r, 1)"), {{kTimeout}, "wall"}},
      {52, "WaitsForItsResults", Method("import os; os.read(3, 1)"), {{kRuntimeError}, "OSError"}},
  };
}

std::vector<HostileCase> Memory() {
  return {
      {54, "Recursion", Method("return self.f(x)"), {{kRuntimeError}, "RecursionError"}},
      {54,
       "RecursionInC",
       "class Solution:\n  __getattr__ = lambda s, n: getattr(s, n)\n",
       {{kRuntimeError}, "RecursionError"}},
      // The frames of Python code lie on the heap: until the stack, the address space or the time ends.
      {55,
       "UnlimitedRecursion",
       "import sys\nsys.setrecursionlimit(10**9)\n" + Method("return self.f(x)"),
       {{kMemoryLimit, kTimeout, kRuntimeError, kCrash}},
       {.cpu = absl::Milliseconds(500)}},
      {56,
       "NestedReprByDefault",
       Body("a = []\nfor _ in range(10**5): a = [a]\nreturn repr(a)"),
       {{kRuntimeError}, "RecursionError"}},
      {56,
       "NestedComparison",
       Body(R"(
import sys
sys.setrecursionlimit(10**9)
a, b = [], []
for _ in range(10**6): a, b = [a], [b]
return a == b)"),
       {{kRuntimeError, kCrash, kMemoryLimit}},
       {.cpu = absl::Seconds(5)}},
      {56,
       "NestedJson",
       Body(R"(
import json, sys
sys.setrecursionlimit(10**9)
return json.loads('[' * 10**6))"),
       {{kRuntimeError, kCrash, kMemoryLimit}},
       {.cpu = absl::Seconds(5)}},
      {56,
       "NestedJsonByDefault",
       Method("import json; return json.loads('[' * 10**6)"),
       {{kRuntimeError}, "RecursionError"}},
      {56,
       "NestedLiteral",
       Method("import ast; return ast.literal_eval('(' * 10**5)"),
       {{kRuntimeError, kCrash}},
       {.cpu = absl::Seconds(5)}},
  };
}

std::vector<HostileCase> Bombs() {
  return {
      {57, "TouchedBomb", Body("a = []\nwhile True: a.append(b'x' * (1 << 20))"), {{kMemoryLimit}}, {.cpu = kLong}},
      {57, "BombAtImport", "a = [0] * 1000\nwhile True: a += a\n", {{kMemoryLimit}}, {.cpu = kLong}},
      {57, "OverTheLimitAndRight", Method("a = b'x' * (600 << 20); return x + 1"), {{kMemoryLimit}}, {.cpu = kLong}},
      {58, "TwoGigabytes", Method("return bytearray(2 << 30)"), {{kRuntimeError}, "MemoryError"}},
      // Without a cgroup it is the time that ends it; the peak is looked at afterwards.
      {59,
       "SwallowsMemoryErrors",
       Body(R"(
a = []
while True:
    try:
        while True: a.append(bytearray(1 << 20))
    except MemoryError:
        pass)"),
       {{kMemoryLimit, kTimeout}},
       {.cpu = absl::Milliseconds(1500), .in_tier = {{Tier::kA, {{kMemoryLimit}}}}}},
      {60, "TerabyteString", Method("return 'a' * (1 << 40)"), {{kRuntimeError}, "MemoryError"}},
      {60, "TerabyteInList", Method("return [0] * (1 << 40)"), {{kRuntimeError}, "MemoryError"}},
      {61,
       "ZlibBomb",
       Body(R"(
import zlib
c = zlib.compressobj(9, zlib.DEFLATED, -15)
part = c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)
return len(zlib.decompress(part * 4096, -15)))"),
       {{kMemoryLimit, kRuntimeError}},
       {.cpu = kLong}},
  };
}

std::vector<HostileCase> Output() {
  return {
      {33, "InfinitePrint", Body("while True: print('x' * 1000)"), {{kOutputLimit}, "standard output"}, {.cpu = kLong}},
      {33,
       "InfiniteRawWrite",
       Body("import os\nwhile True: os.write(2, b'x' * 65536)"),
       {{kOutputLimit}, "standard output"},
       {.cpu = kLong}},
      {33,
       "InfiniteResults",
       "import os, struct\nos.write(3, b'\\1\\0\\0\\0L')\nwhile True: os.write(3, "
       "struct.pack('<I', 1 << 20) + b'V')\n",
       {{kProtocolError, kOutputLimit}},
       {.cpu = kLong}},
  };
}

std::vector<HostileCase> Tasks() {
  return {
      {66,
       "HelperThread",
       Body(R"(
import threading
r = []
t = threading.Thread(target=lambda: r.append(x + 1))
t.start(); t.join()
return r[0])"),
       {{kPass}}},
      {67,
       "ThreadBomb",
       Body("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()"),
       {{kRuntimeError}, "RuntimeError"},
       {.cpu = kLong}},
      // 24, its first one among them; a user that the slot does not own is bounded by the address space alone.
      {67,
       "FewThreads",
       Body(R"(
import threading, time
n = 0
try:
    while n < 500:
        threading.Thread(target=time.sleep, args=(60,)).start()
        n += 1
except RuntimeError:
    return x + 1 if n <= 24 else 'many'
return 'no end')"),
       {{kPass}},
       {.cpu = kLong, .in_tier = {{Tier::kC, {{kPass, kWrongAnswer}}}}}},
      {68,
       "LeftThread",
       "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" + Method("return x + 1"),
       {{kPass}}},
      {68,
       "LeftLoopingThread",
       "import threading\ndef loop():\n  while True: pass\nthreading.Thread(target=loop).start()\n" +
           Method("return x + 1"),
       {{kPass, kTimeout}}},
  };
}

std::vector<HostileCase> Descriptors() {
  return {
      {69,
       "ThreadThatWritesResults",
       R"(import os, threading
begun = threading.Event()
def junk():
    while True:
        os.write(3, b'junk' * 9)
        begun.set()
threading.Thread(target=junk).start()
begun.wait()
)" + Method("return x + 1"),
       {{kProtocolError}}},
      {69,
       "ThreadThatWritesLate",
       Body(R"(
import os, threading, time
def junk():
    time.sleep(0.001)
    while True: os.write(3, b'junk' * 9)
if x == 41: threading.Thread(target=junk).start()
return x + 1)"),
       {{kPass, kProtocolError}}},
      {79, "ManyPipes", Body("import os\nwhile True: os.pipe()"), {{kRuntimeError}, "OSError"}},
      {79,
       "ManyCopies",
       Body(R"(
import os
n = 4
try:
    while n < 10**5:
        os.dup2(1, n)
        n += 1
except OSError:
    pass
return x + 1 if n == 32 else n)"),
       {{kPass}}},
      {79, "HighDescriptor", Method("import os; os.dup2(1, 1000)"), {{kRuntimeError}, "OSError"}},
  };
}

}  // namespace

std::vector<HostileCase> ResourceCases() {
  std::vector<HostileCase> cases = Joined({Time(), Memory(), Bombs(), Output(), Tasks(), Descriptors()});
  // AddressSanitizer leaves no room for a limit on address space, which is what bounds memory and threads.
  for (HostileCase& row : cases) row.how.plain_build = (row.line >= 55 && row.line <= 61) || row.line == 67;
  return cases;
}

}  // namespace evilmoe
