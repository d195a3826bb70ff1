#include <string>

#include "tests/unit/grader_sandbox/hostile_cases.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

// Defines frame(type, payload), which writes a frame the way the runner does, and value(index, n), one with an int.
std::string Forger(const std::string& rest) {
  return "import os, struct\ndef frame(kind, payload):\n"
         "    os.write(3, struct.pack('<I', len(payload) + 1) + kind + payload)\n"
         "def value(index, n):\n"
         "    frame(b'V', struct.pack('<I', index) + b'i' + struct.pack('<I', 1) + bytes([n]))\n" +
         rest;
}

std::vector<HostileCase> Objects() {
  const std::string equal = "class E:\n  def __eq__(self, o): return True\n";
  return {
      {13, "AlwaysEqual", equal + Method("return E()"), {{kWrongAnswer}, "E", 0}},
      {13, "AlwaysEqualInAList", equal + Method("return [E()]"), {{kWrongAnswer}}},
      {13,
       "SolutionItself",
       "class Solution:\n  __eq__ = lambda s, o: True\n  def f(self, x): return self\n",
       {{kWrongAnswer}, "Solution"}},
      {14,
       "IntSubclass",
       "class E(int):\n  def __eq__(self, o): return True\n" + Method("return E(0)"),
       {{kWrongAnswer}}},
      {14, "RightIntSubclass", "class E(int): pass\n" + Method("return E(x + 1)"), {{kWrongAnswer}, "E"}},
      {14, "StrSubclass", "class E(str):\n  __eq__ = lambda self, o: True\n" + Method("return E()"), {{kWrongAnswer}}},
      {14,
       "ListSubclass",
       "class E(list):\n  __eq__ = lambda self, o: True\n" + Method("return E()"),
       {{kWrongAnswer}}},
      {14,
       "FloatSubclass",
       "class E(float):\n  __eq__ = lambda self, o: True\n" + Method("return E()"),
       {{kWrongAnswer}}},
      {14,
       "DictSubclass",
       "class E(dict):\n  __eq__ = lambda self, o: True\n" + Method("return E()"),
       {{kWrongAnswer}}},
      {15,
       "ClassProperty",
       "class E:\n  __class__ = property(lambda self: int)\n  __eq__ = lambda s, o: True\n" + Method("return E()"),
       {{kWrongAnswer}}},
      {15,
       "NeverUnequal",
       "class E:\n  __ne__ = lambda s, o: False\n  __eq__ = lambda s, o: True\n"
       "  __hash__ = lambda s: hash(2)\n  __bool__ = lambda s: True\n  __index__ = lambda s: 2\n"
       "  __int__ = lambda s: 2\n" +
           Method("return E()"),
       {{kWrongAnswer}}},
      {15,
       "ReflectedSubclass",
       "class E(int):\n  def __eq__(s, o): return True\n  def __ne__(s, o): return False\n"
       "  def __hash__(s): return 1\n" +
           Method("return {E(1): E(2)}"),
       {{kWrongAnswer}}},
  };
}

std::vector<HostileCase> Frames() {
  return {
      {16, "RightValuesByFrames", Forger("frame(b'L', b'')\nvalue(0, 2)\nvalue(1, 42)\nos._exit(0)"), {{kPass}}},
      {16,
       "WrongValuesByFrames",
       Forger("frame(b'L', b'')\nframe(b'V', struct.pack('<I', 0) + b'T')\nos._exit(0)"),
       {{kWrongAnswer}}},
      {16, "OneValueTooFew", Forger("frame(b'L', b'')\nvalue(0, 2)\nos._exit(0)"), {{kNoResult}}},
      {16, "ClaimsItReturned", Forger("frame(b'L', b'')\nframe(b'R', b'')\nos._exit(0)"), {{kProtocolError}}},
      {16,
       "ClaimsItHolds",
       Forger("frame(b'L', b'')\nframe(b'X', struct.pack('<I', 0) + b'\\1')\nos._exit(0)"),
       {{kProtocolError}}},
      {16, "BlamesTheSetup", Forger("frame(b'S', b'NameError')\n"), {{kProtocolError}}},
      {17, "WrongIndexFrame", Forger("frame(b'L', b'')\nvalue(9, 2)\nos._exit(0)"), {{kProtocolError}}},
      {17, "RepeatedFrame", Forger("frame(b'L', b'')\nvalue(0, 2)\nvalue(0, 2)\nos._exit(0)"), {{kProtocolError}}},
      {17, "SecondCompileFrame", Forger("frame(b'C', b'')\n") + Method("return x + 1"), {{kProtocolError}}},
      {17, "SecondLoadFrame", Forger("frame(b'L', b'')\n") + Method("return x + 1"), {{kProtocolError}}},
      {17, "TestFrame", Forger("frame(b'T', b'\\1' + bytes(8))\n") + Method("return x + 1"), {{kProtocolError}}},
      {17, "UnknownFrame", Forger("frame(b'?', b'')\n") + Method("return x + 1"), {{kProtocolError}, "unknown type"}},
      {17,
       "HugeLengthFrame",
       "import os\nos.write(3, b'\\xff\\xff\\xff\\xffV')\n" + Method("return x + 1"),
       {{kProtocolError}, "length"}},
      {17, "EmptyFrame", "import os\nos.write(3, bytes(4))\n" + Method("return x + 1"), {{kProtocolError}, "length"}},
      {17,
       "NotANumberAsLength",
       "import os, struct\nos.write(3, struct.pack('<f', float('nan')) + b'V')\n" + Method("return x + 1"),
       {{kProtocolError}, "length"}},
      {17, "HugeList", Forger("frame(b'L', b'')\nframe(b'V', bytes(4) + b'l' + b'\\xff' * 4)\n"), {{kProtocolError}}},
      {17,
       "DeepList",
       Forger("frame(b'L', b'')\nframe(b'V', bytes(4) + b'l\\1\\0\\0\\0' * 100000)\n"),
       {{kProtocolError}}},
      {17,
       "UnhashableKey",
       Forger("frame(b'L', b'')\nframe(b'V', bytes(4) + b'd\\1\\0\\0\\0' + b'l' + bytes(4) + b'N')\n"),
       {{kProtocolError}}},
      {17,
       "PaddedInt",
       Forger("frame(b'L', b'')\nframe(b'V', bytes(4) + b'i\\2\\0\\0\\0\\0\\2')\n"),
       {{kProtocolError}}},
      {17,
       "TrailingBytes",
       Forger("frame(b'L', b'')\nframe(b'V', bytes(4) + b'i\\1\\0\\0\\0\\2' + b'junk')\n"),
       {{kProtocolError}}},
      {17, "HalfAFrame", "import os\nos.write(3, b'\\x09\\0\\0\\0L')\nos._exit(0)", {{kNoResult}}},
      {17, "CloneOfAValue", Forger("frame(b'L', b'')\nframe(b'V', b'')\nos._exit(0)"), {{kProtocolError}}},
  };
}

std::vector<HostileCase> Peeking() {
  return {
      {18,
       "ReadExpectedFromFrames",
       Method("import sys; g = sys._getframe(); return [v for v in g.f_locals.values()]"),
       {{kWrongAnswer}}},
      {18,
       "NobodyCalls",
       Method("import sys; return x + 1 if sys._getframe().f_back is None else 'somebody'"),
       {{kPass}}},
      {18,
       "ReadExpectedByInspect",
       Method("import inspect; return [len(inspect.stack()), x]"),
       {{kWrongAnswer, kRuntimeError}}},
      {18,
       "ReadExpectedFromATraceback",
       Body(R"(
try:
    raise ValueError
except ValueError as e:
    import traceback
    seen = [dict(f.f_locals) for f, _ in traceback.walk_tb(e.__traceback__)]
    return x + 1 if len(seen) == 1 and 42 not in seen[0].values() else 'seen')"),
       {{kPass}}},
      {19,
       "ReadExpectedFromGc",
       Method("import gc; r = [o for o in gc.get_objects() if isinstance(o, (list, tuple)) and 42 in "
              "[i for i in o if type(i) is int] and 2 in [i for i in o if type(i) is int]]; return r[0]"),
       {{kRuntimeError, kWrongAnswer}}},
      {19,
       "NoAssertInMemory",
       Body(R"(
import gc
want = ''.join(['assert', ' Solution', '().f'])
return 'seen' if any(type(o) in (dict, list, tuple) and any(type(i) is str and i.startswith(want) for i in
                     (o.values() if type(o) is dict else o)) for o in gc.get_objects()) else x + 1)"),
       {{kPass}}},
  };
}

std::vector<HostileCase> Patching() {
  const std::string patch =
      "import builtins\nfor n in ('len', 'print', 'exec', 'isinstance', 'type', 'repr', 'compile', 'int', 'list', "
      "'str'):\n"
      "  setattr(builtins, n, lambda *a, **k: True)\n";
  return {
      {20, "PatchBuiltins", patch + Method("return x"), {{kWrongAnswer}}},
      {20, "PatchBuiltinsAndBeRight", patch + Method("return x + 1"), {{kPass}}},
      {20, "EmptyBuiltins", "import builtins\nbuiltins.__dict__.clear()\n", {{kRuntimeError}}},
      {20, "ReplacedBuiltins", "__builtins__ = {}\n", {{kRuntimeError}, "KeyError"}},
      {21, "PatchJson", "import json\njson.dumps = lambda *a, **k: 'true'\n" + Method("return x"), {{kWrongAnswer}}},
      {21, "PatchStruct", "import struct\nstruct.pack = lambda *a: b'T'\n" + Method("return x"), {{kWrongAnswer}}},
      {21,
       "PatchCodecs",
       "import codecs\ncodecs.encode = codecs.lookup = lambda *a: 0\n" + Method("return x"),
       {{kWrongAnswer}}},
      {22,
       "ShadowNames",
       "AssertionError = exec = print = tests_passed = True\n" + Method("return x"),
       {{kWrongAnswer}}},
      {22,
       "ShadowNamesAndBeRight",
       "AssertionError = exec = print = tests_passed = True\n" + Method("return x + 1"),
       {{kPass}}},
      {22, "RenameMain", "__name__ = 'other'\n__file__ = '/etc/passwd'\n" + Method("return x"), {{kWrongAnswer}}},
      {23,
       "PatchUnittest",
       "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n" + Method("return x"),
       {{kWrongAnswer}}},
      {23, "WriteConftest", "open('conftest.py', 'w')", {{kLoadError}, "PermissionError"}},
  };
}

std::vector<HostileCase> Magic() {
  return {
      {24,
       "GetattrMagic",
       "class Solution:\n  def __getattr__(self, n): return lambda **k: k['x']\n",
       {{kWrongAnswer}}},
      {24, "SolutionIsAFunction", "class T:\n  def f(self, x): return x + 1\ndef Solution(): return T()\n", {{kPass}}},
      {24,
       "MetaclassRight",
       "class M(type):\n  def __call__(c): return T()\nclass T:\n  def f(self, x): return x + 1\n"
       "class Solution(metaclass=M): pass\n",
       {{kPass}}},
      {24,
       "MetaclassWrong",
       "class M(type):\n  __eq__ = lambda *a: True\n  __hash__ = lambda s: 1\n"
       "  def __getattr__(c, n): return 2\nclass Solution(metaclass=M):\n  def f(self, x): return Solution\n",
       {{kWrongAnswer}}},
      {25,
       "PoisonedModules",
       "import sys\nfor k in list(sys.modules): sys.modules[k] = None\n" + Method("return x + 1"),
       {{kPass}}},
      {25, "Reload", "import importlib, json\nimportlib.reload(json)\n", {{kLoadError}, "ModuleNotFoundError"}},
      {25,
       "ImportHook",
       "import sys\nclass H:\n  def find_spec(self, *a): raise SystemExit\nsys.meta_path.insert(0, H())\n" +
           Method("return x"),
       {{kWrongAnswer}}},
      {26, "SetTrace", "import sys\nsys.settrace(lambda *a: None)\n" + Method("return x + 1"), {{kPass}}},
      {26, "SetProfile", "import sys\nsys.setprofile(lambda *a: None)\n" + Method("return x + 1"), {{kPass}}},
      {26,
       "TraceWithoutEnd",
       "import sys\ndef t(*a):\n  while True: pass\nsys.settrace(t)\n" + Method("return x + 1"),
       {{kTimeout}}},
      {26, "AuditHook", "import sys\nsys.addaudithook(lambda *a: None)\n" + Method("return x + 1"), {{kPass}}},
      {26,
       "AuditHookThatRaises",
       "import sys\ndef h(*a): raise ValueError\nsys.addaudithook(h)\n" + Method("return x"),
       {{kWrongAnswer, kLoadError, kRuntimeError}}},
  };
}

std::vector<HostileCase> Descriptors() {
  return {
      {27,
       "AtexitForgery",
       "import atexit, os\natexit.register(lambda: os.write(3, b'junk'))\n" + Method("return x + 1"),
       {{kPass}}},
      {27,
       "AtexitForgeryAfterWrong",
       Forger("import atexit\natexit.register(value, 0, 2)\natexit.register(value, 1, 42)\n") + Method("return x"),
       {{kWrongAnswer}}},
      {28,
       "LateDestructor",
       Method("return x + 1") + "class D:\n  def __del__(self):\n    while True: pass\nkeep = D()\n",
       {{kPass}}},
      {28,
       "DestructorOfTheValue",
       "class D(list):\n  def __del__(self):\n    while True: pass\n" + Method("return D()"),
       {{kWrongAnswer}}},
      {28,
       "DestructorInTheCall",
       "class D:\n  def __del__(self):\n    while True: pass\n" + Method("D(); return x + 1"),
       {{kTimeout}}},
      {28,
       "DestructorOfAnException",
       "class D(Exception):\n  def __del__(self):\n    while True: pass\n" + Method("raise D()"),
       {{kRuntimeError}, "D"}},
      {29, "ClosesStandardStreams", "import os\nos.close(1); os.close(2)\n" + Method("return x + 1"), {{kPass}}},
      {29,
       "ClosesStandardInput",
       "import os, sys\nos.close(0); sys.stdin.close()\n" + Method("return x + 1"),
       {{kPass}}},
      {30, "ClosesResults", "import os\nos.close(3)\n" + Method("return x + 1"), {{kNoResult}}},
      {30, "ClosesResultsLate", Method("import os; os.close(3); return x + 1"), {{kNoResult}}},
      {31, "JunkOverResults", "import os\nos.dup2(1, 3)\n" + Method("return x + 1"), {{kNoResult}}},
      {31, "PipeOverResults", "import os\nr, w = os.pipe()\nos.dup2(w, 3)\n" + Method("return x + 1"), {{kNoResult}}},
      {31,
       "PrintsIntoResults",
       "import os\nos.dup2(3, 1)\nprint('PASS ' * 100, flush=True)\n" + Method("return x + 1"),
       {{kProtocolError}}},
      {32, "StandardInput", Method("return input()"), {{kRuntimeError}, "EOFError"}},
      {32,
       "RawStandardInput",
       Method("import os, sys; return x + 1 if os.read(0, 9) + sys.stdin.buffer.read() == b'' else 'read'"),
       {{kPass}}},
  };
}

}  // namespace

std::vector<HostileCase> ForgeryCases() {
  return Joined({Objects(), Frames(), Peeking(), Patching(), Magic(), Descriptors()});
}

}  // namespace evilmoe
