#include <csignal>
#include <set>

#include "gmock/gmock.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

struct HostileCase {
  std::string name;
  std::string source;
  std::set<VerdictKind> want;
  std::string error = "";  // unless empty: part of Verdict::error
  absl::Duration cpu = absl::Milliseconds(300);
};

// One cell for all: also shows that no run harms the next.
class HostileInputTest : public ::testing::TestWithParam<HostileCase> {
 protected:
  static void SetUpTestSuite() { cell_ = new Cell({.zygote_binary = ZygoteBinary()}); }
  static void TearDownTestSuite() { delete std::exchange(cell_, nullptr); }
  static Cell* cell_;
};
Cell* HostileInputTest::cell_ = nullptr;

// AddressSanitizer catches crashes and failed allocations itself, and leaves no room for RLIMIT_AS.
bool NeedsAPlainBuild(const std::string& name) {
#ifdef __SANITIZE_ADDRESS__
  return name == "ForgedBytecode" || name == "TwoGigabytes" || name == "TerabyteString";
#else
  return name.empty();
#endif
}

TEST_P(HostileInputTest, GetsItsVerdict) {
  if (NeedsAPlainBuild(GetParam().name)) GTEST_SKIP() << "AddressSanitizer answers memory errors in its own way";
  const Verdict verdict = RunAddOne(*cell_, GetParam().source, GetParam().cpu);
  EXPECT_THAT(GetParam().want, ::testing::Contains(verdict.kind))
      << VerdictName(verdict.kind) << " " << verdict.error << " signal " << verdict.signal << " at " << verdict.index;
  EXPECT_THAT(verdict.error, ::testing::HasSubstr(GetParam().error));
  EXPECT_EQ(RunAddOne(*cell_, AddOne().canonical_solution).kind, kPass) << "the next run suffers";
}

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

// Defines `frame(type, payload)`, which writes a frame the way the runner does, and a Solution that is right.
std::string Forger(const std::string& body) {
  return "import os, struct\ndef frame(kind, payload):\n"
         "    os.write(3, struct.pack('<I', len(payload) + 1) + kind + payload)\n" +
         body;
}

std::string Alias(const std::string& call) { return Method("import os; " + call + "; return x + 1"); }

INSTANTIATE_TEST_SUITE_P(
    Source, HostileInputTest,
    ::testing::ValuesIn(std::vector<HostileCase>{
        {"Correct", Method("return x + 1"), {kPass}},
        {"SyntaxError", "class Solution:\n  def f(self, x) return x", {kCompileError}, "SyntaxError"},
        {"NulByte", std::string("x = 1\0y", 7), {kCompileError}},
        {"NotUtf8", "x = '\xff'", {kCompileError}, "UnicodeDecodeError"},
        {"Empty", "", {kRuntimeError}, "KeyError"},
        {"NoMethod", "class Solution: pass", {kRuntimeError}, "AttributeError"},
        {"OversizedSource", "x = '" + std::string(8 << 20, 'a') + "'", {kCompileError}, "too large"},
        {"NestedParentheses", Repeat("(", 5000) + Repeat(")", 5000), {kCompileError}},
        {"ManyMinuses", "x = " + Repeat("-", 100000) + "1", {kCompileError, kLoadError, kCrash}},
    }),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Ending, HostileInputTest,
    ::testing::ValuesIn(std::vector<HostileCase>{
        {"ExitAtImport", "import os; os._exit(0)", {kNoResult}},
        {"ExitInMethod", Method("import posix; posix._exit(0)"), {kNoResult}},
        {"ExitLikeAFailedSetup", "import os; os._exit(120)", {kNoResult}},
        {"SysExitAtImport", "import sys; sys.exit(0)", {kLoadError}, "SystemExit"},
        {"QuitAtImport", "exit(0)", {kLoadError}, "SystemExit"},
        {"RaiseSystemExit", Method("raise SystemExit"), {kRuntimeError}, "SystemExit"},
        {"RaiseKeyboardInterrupt", Method("raise KeyboardInterrupt"), {kRuntimeError}},
        {"Abort", Method("import os; os.abort()"), {kCrash}},
        {"KillSelf", Method("import os; os.kill(os.getpid(), 9)"), {kRuntimeError}, "PermissionError"},
        {"RaiseSigkill", Method("import signal; signal.raise_signal(9)"), {kRuntimeError}, "PermissionError"},
        {"KillParent", Method("import os; os.kill(os.getppid(), 9)"), {kRuntimeError}, "PermissionError"},
        {"KillAll", Method("import os; os.kill(-1, 9)"), {kRuntimeError}, "PermissionError"},
        {"AtexitForgery", "import atexit, os\natexit.register(lambda: os.write(3, b'junk'))\n" + Method("return x + 1"),
         {kPass}},
        {"LateDestructor", Method("return x + 1") + "class D:\n  def __del__(self):\n    while True: pass\nkeep = D()\n",
         {kPass}},
        {"ForgedBytecode", Method("c = (lambda: 0).__code__; c = c.replace(co_code=b'd\\xff' * 50, co_consts=()); "
                                  "exec(c); return x + 1"), {kCrash, kRuntimeError, kWrongAnswer, kPass}},
    }),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Forgery, HostileInputTest,
    ::testing::ValuesIn(std::vector<HostileCase>{
        {"AlwaysEqual", "class E:\n  def __eq__(self, o): return True\n" + Method("return E()"), {kWrongAnswer}},
        {"IntSubclass", "class E(int):\n  def __eq__(self, o): return True\n" + Method("return E(0)"), {kWrongAnswer}},
        {"ListSubclass", "class E(list):\n  __eq__ = lambda self, o: True\n" + Method("return E()"), {kWrongAnswer}},
        {"ClassProperty", "class E:\n  __class__ = property(lambda self: int)\n  __eq__ = lambda s, o: True\n" +
                              Method("return E()"), {kWrongAnswer}},
        {"RightValuesByFrames", Forger("frame(b'L', b'')\nfor i, v in enumerate([2, 42]):\n"
                                       "  frame(b'V', struct.pack('<I', i) + b'i' + struct.pack('<I', 1) + bytes([v]))\n"
                                       "os._exit(0)"), {kPass}},
        {"WrongValuesByFrames", Forger("frame(b'L', b'')\nframe(b'V', struct.pack('<I', 0) + b'T')\nos._exit(0)"),
         {kWrongAnswer}},
        {"WrongIndexFrame", Forger("frame(b'L', b'')\nframe(b'V', struct.pack('<I', 9) + b'T')\nos._exit(0)"),
         {kProtocolError}},
        {"HugeLengthFrame", "import os\nos.write(3, b'\\xff\\xff\\xff\\xffV')\n" + Method("return x + 1"),
         {kProtocolError}},
        {"SecondCompileFrame", Forger("frame(b'C', b'')\n") + Method("return x + 1"), {kProtocolError}},
        {"ReadExpectedFromFrames", Method("import sys; g = sys._getframe(); return [v for v in g.f_locals.values()]"),
         {kWrongAnswer}},
        {"ReadExpectedFromGc",
         Method("import gc; r = [o for o in gc.get_objects() if isinstance(o, (list, tuple)) and 42 in "
                "[i for i in o if type(i) is int] and 2 in [i for i in o if type(i) is int]]; return r[0]"),
         {kRuntimeError, kWrongAnswer}},
        {"PatchBuiltins", "import builtins\nfor n in ('len', 'print', 'exec', 'isinstance', 'type', 'repr', 'compile'):\n"
                          "  setattr(builtins, n, lambda *a, **k: True)\n" + Method("return x"), {kWrongAnswer}},
        {"PatchJson", "import json\njson.dumps = lambda *a, **k: 'true'\n" + Method("return x"), {kWrongAnswer}},
        {"ShadowNames", "AssertionError = exec = tests_passed = True\n" + Method("return x"), {kWrongAnswer}},
        {"GetattrMagic", "class Solution:\n  def __getattr__(self, n): return lambda **k: k['x']\n", {kWrongAnswer}},
        {"SolutionIsAFunction", "class T:\n  def f(self, x): return x + 1\ndef Solution(): return T()\n", {kPass}},
        {"PoisonedModules", "import sys\nfor k in list(sys.modules): sys.modules[k] = None\n" + Method("return x + 1"),
         {kPass}},
        {"SetTrace", "import sys\nsys.settrace(lambda *a: None)\n" + Method("return x + 1"), {kPass}},
        {"BoolForInt", Method("return True if x == 0 else x + 1.0"), {kPass}},
        {"Generator", Method("return (i for i in [x + 1])"), {kWrongAnswer}, "generator"},
        {"Surrogate", Method("return '\\ud800'"), {kWrongAnswer}},
        {"ClosesStandardStreams", "import os\nos.close(1); os.close(2)\n" + Method("return x + 1"), {kPass}},
        {"ClosesResults", "import os\nos.close(3)\n" + Method("return x + 1"), {kNoResult}},
        {"JunkOverResults", "import os\nos.dup2(1, 3)\n" + Method("return x + 1"), {kNoResult}},
        {"HelperThread", "import threading\n" + Method("r = []; t = threading.Thread(target=lambda: r.append(x + 1)); "
                                                       "t.start(); t.join(); return r[0]"), {kPass}},
        {"LeftThread", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n" +
                           Method("return x + 1"), {kPass}},
    }),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Resources, HostileInputTest,
    ::testing::ValuesIn(std::vector<HostileCase>{
        {"InfiniteLoop", Method("while True: pass"), {kTimeout}, "cpu"},
        {"InfiniteLoopAtImport", "while True: pass", {kTimeout}, "cpu"},
        {"Sleep", Method("import time; time.sleep(1e6)"), {kTimeout}, "wall"},
        {"UninterruptibleC", Method("return sum(range(10**13))"), {kTimeout}, "cpu"},
        {"HugePower", Method("return 10 ** 10 ** 8"), {kTimeout}},
        {"CatastrophicRegex", Method("import re; return re.match('(a+)+$', 'a' * 40 + 'b')"), {kTimeout}},
        {"CatchesAll", Method("\n        while True:\n            try:\n                raise ValueError\n"
                              "            except BaseException:\n                pass"), {kTimeout}},
        {"IgnoresSignals", "import signal\nfor s in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU):\n"
                           "  signal.signal(s, signal.SIG_IGN)\nwhile True: pass", {kTimeout}},
        {"Deadlock", Method("import threading; l = threading.Lock(); l.acquire(); l.acquire()"), {kTimeout}, "wall"},
        {"PipeDeadlock", Method("import os; r, w = os.pipe(); os.read(r, 1)"), {kTimeout}, "wall"},
        {"InfinitePrint", Method("\n        while True: print('x' * 1000)"), {kOutputLimit}},
        {"HugeValue", Method("return 'x' * 50_000_000"), {kOutputLimit}},
        {"HugeList", Method("return [0] * 10_000_000"), {kOutputLimit}},
        {"SelfReferentialList", Method("a = []; a.append(a); return a"), {kRuntimeError}, "nested"},
        {"DeepList", Method("a = []\n        for _ in range(100000): a = [a]\n        return a"), {kRuntimeError}},
        {"HugeIntToStr", Method("return str(10 ** 5000)"), {kRuntimeError}, "ValueError"},
        {"HugeInt", Method("return 10 ** 5000"), {kWrongAnswer}},
        {"Recursion", Method("return self.f(x)"), {kRuntimeError}, "RecursionError"},
        {"UnlimitedRecursion", "import sys\nsys.setrecursionlimit(10**9)\n" + Method("return self.f(x)"),
         {kMemoryLimit, kTimeout, kRuntimeError, kCrash}},
        {"TwoGigabytes", Method("return bytearray(2 << 30)"), {kRuntimeError}, "MemoryError"},
        {"TouchedBomb", Method("a = []\n        while True: a.append(b'x' * (1 << 20))"), {kMemoryLimit}, "", absl::Seconds(20)},
        {"TerabyteString", Method("return 'a' * (1 << 40)"), {kRuntimeError}, "MemoryError"},
        {"StandardInput", Method("return input()"), {kRuntimeError}, "EOFError"},
    }),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    System, HostileInputTest,
    ::testing::ValuesIn(std::vector<HostileCase>{
        {"Fork", Alias("os.fork()"), {kRuntimeError}, "PermissionError"},
        {"Spawn", Alias("os.posix_spawn('/bin/true', ['true'], {})"), {kRuntimeError}, "PermissionError"},
        {"Exec", Alias("os.execv('/bin/true', ['true'])"), {kRuntimeError}, "PermissionError"},
        {"ReadPasswd", Method("return open('/etc/passwd').read()"), {kRuntimeError}, "PermissionError"},
        {"ListRoot", Alias("os.listdir('/')"), {kRuntimeError}, "PermissionError"},
        {"WriteFile", Method("open('/tmp/x', 'w')"), {kRuntimeError}, "PermissionError"},
        {"ProcMem", Method("open('/proc/self/mem', 'rb')"), {kRuntimeError}, "PermissionError"},
        {"Memfd", Alias("os.memfd_create('x')"), {kRuntimeError}, "PermissionError"},
        {"Chroot", Alias("os.chroot('/')"), {kSandboxViolation}},
        {"Symlink", Alias("os.symlink('/', '/tmp/y')"), {kRuntimeError}, "PermissionError"},
        {"ManyPipes", Method("import os\n        while True: os.pipe()"), {kRuntimeError}, "OSError"},
        {"ImportCtypes", "import ctypes", {kLoadError}, "ModuleNotFoundError"},
        {"ImportSocket", "import socket", {kLoadError}, "ModuleNotFoundError"},
        {"ImportSubprocess", "import subprocess", {kLoadError}, "ModuleNotFoundError"},
        {"ImportUnlisted", "import xml.etree", {kLoadError}, "ModuleNotFoundError"},
        {"PidfdOpen", Alias("os.pidfd_open(1)"), {kRuntimeError}, "PermissionError"},
        {"Environment",
         Method("import os; return x + 1 if set(os.environ) == {'LC_ALL', 'OPENBLAS_NUM_THREADS'} else 0"), {kPass}},
    }),
    [](const auto& row) { return row.param.name; });

TEST(SandboxViolationTest, NamesTheCall) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const Verdict chroot = RunAddOne(cell, Alias("os.chroot('/')"));
  EXPECT_EQ(chroot.kind, kSandboxViolation);
  EXPECT_EQ(chroot.syscall, "chroot");
  EXPECT_EQ(chroot.signal, SIGSYS);
  // The next run of the same zygote has nothing of it.
  EXPECT_EQ(RunAddOne(cell, Method("return x + 1")).syscall, "");
}

TEST(SandboxViolationTest, CannotBeSurvivedOrFaked) {
  Cell cell({.zygote_binary = ZygoteBinary()});
  const std::string blocked = "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGSYS})\n";
  EXPECT_EQ(RunAddOne(cell, blocked + Method("os.chroot('/'); return x + 1")).kind, kSandboxViolation);
  const Verdict caught = RunAddOne(cell, "import signal\nsignal.signal(signal.SIGSYS, signal.SIG_IGN)\n");
  EXPECT_EQ(caught.kind, kLoadError) << VerdictName(caught.kind);
  const Verdict faked = RunAddOne(cell, Method("import signal; signal.raise_signal(signal.SIGSYS)"));
  EXPECT_EQ(faked.kind, kRuntimeError) << VerdictName(faked.kind);
}

}  // namespace
}  // namespace evilmoe
