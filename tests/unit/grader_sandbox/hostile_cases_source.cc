#include <string>

#include "tests/unit/grader_sandbox/hostile_cases.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

std::vector<HostileCase> Compiling() {
  return {
      {1, "Correct", Method("return x + 1"), {{kPass}}},
      {1, "CorrectWithCtypes", "import ctypes\n" + Method("return x + 1"), {{kPass}}, {.native = true}},
      {1, "Wrong", Method("return x"), {{kWrongAnswer}, "", 0}},
      {2, "SyntaxError", "class Solution:\n  def f(self, x) return x", {{kCompileError}, "SyntaxError"}},
      {2, "IndentationError", "class Solution:\n  def f(self, x):\n return x", {{kCompileError}, "IndentationError"}},
      {2, "TabsAndBlanks", "if 1:\n        x = 1\n\ty = 2\n", {{kCompileError}, "TabError"}},
      {2, "ReturnOutside", "return 1", {{kCompileError}, "SyntaxError"}},
      {3, "NulByte", std::string("x = 1\0y", 7), {{kCompileError}, "SyntaxError"}},
      {3, "NulByteAfterTheEnd", Method("return x + 1") + std::string("\0", 1), {{kCompileError}, "SyntaxError"}},
      {4, "NotUtf8", "x = '\xff'", {{kCompileError}, "UnicodeDecodeError"}},
      {4, "EncodedSurrogate", "x = '\xed\xa0\x80'", {{kCompileError}, "UnicodeDecodeError"}},
      {4, "OtherCookie", "# -*- coding: latin-1 -*-\nx = '\xff'", {{kCompileError}, "UnicodeDecodeError"}},
      {5, "Empty", "", {{kRuntimeError}, "KeyError", 0}},
      {5, "NoMethod", "class Solution: pass", {{kRuntimeError}, "AttributeError", 0}},
      {5, "MethodIsANumber", "class Solution: f = 3", {{kRuntimeError}, "TypeError", 0}},
      {5, "SolutionIsDeleted", Method("return x + 1") + "del Solution", {{kRuntimeError}, "KeyError"}},
      {6, "OversizedSource", "x = '" + std::string(8 << 20, 'a') + "'", {{kCompileError}, "too large"}},
      {7, "NestedParentheses", Repeat("(", 5000) + Repeat(")", 5000), {{kCompileError}}},
      {7,
       "NestedBlocks",
       [] {
         std::string source;
         for (int depth = 0; depth < 150; ++depth) source += std::string(static_cast<size_t>(depth), ' ') + "if 1:\n";
         return source + std::string(150, ' ') + "x = 1\n";
       }(),
       {{kCompileError}}},
      // The compiler's own recursion limit, or its memory.
      {8, "ManyMinuses", "x = " + Repeat("-", 100000) + "1", {{kCompileError, kLoadError, kCrash}}},
      {8, "ManyAdditions", "x = 1" + Repeat("+1", 50000), {{kCompileError, kLoadError, kCrash}}},
  };
}

std::vector<HostileCase> Leaving() {
  return {
      {9, "ExitAtImport", "import os; os._exit(0)", {{kNoResult}, "exit 0"}},
      {9, "ExitLikeAFailedSetup", "import os; os._exit(120)", {{kNoResult}, "exit 120"}},
      {10, "ExitInMethod", Method("import posix; posix._exit(0)"), {{kNoResult}, "exit 0"}},
      {10,
       "ExitAfterTheFirstTest",
       Body(R"(
if x == 41:
    import os
    os._exit(0)
return x + 1)"),
       {{kNoResult}, "exit 0"}},
      {11, "SysExitAtImport", "import sys; sys.exit(0)", {{kLoadError}, "SystemExit"}},
      {11, "QuitAtImport", "exit(0)", {{kLoadError}, "SystemExit"}},
      {12, "RaiseSystemExit", Method("raise SystemExit"), {{kRuntimeError}, "SystemExit"}},
      {12, "RaiseKeyboardInterrupt", Method("raise KeyboardInterrupt"), {{kRuntimeError}, "KeyboardInterrupt"}},
      {12, "RaiseGeneratorExit", Method("raise GeneratorExit"), {{kRuntimeError}, "GeneratorExit"}},
      {12, "RaiseOwnType", "class PASS(BaseException): pass\n" + Method("raise PASS"), {{kRuntimeError}, "PASS"}},
      {12, "RaiseAssertionErrorAtImport", "assert False", {{kLoadError}, "AssertionError"}},
  };
}

std::vector<HostileCase> Importing() {
  const std::string allowed =
      "import abc, array, ast, base64, bisect, calendar, cmath, collections.abc, contextlib, copy, dataclasses\n"
      "import datetime, decimal, difflib, enum, fractions, functools, heapq, inspect, io, itertools, json, math\n"
      "import numbers, operator, queue, random, re, statistics, string, struct, textwrap, threading, time\n"
      "import traceback, types, typing, unittest, zlib, hashlib\n";
  return {
      {96, "ImportCtypes", "import ctypes", {{kLoadError}, "ModuleNotFoundError"}},
      {96, "ImportCtypesOfC", "import _ctypes", {{kLoadError}, "ModuleNotFoundError"}},
      {96, "ImportCffi", "import cffi", {{kLoadError}, "ModuleNotFoundError"}},
      {96,
       "ImportByName",
       "import importlib; importlib.import_module('ctypes')",
       {{kLoadError}, "ModuleNotFoundError"}},
      {96,
       "LoadByPath",
       R"(import importlib.machinery as m
loader = m.ExtensionFileLoader('_ctypes', '/usr/lib/python3.11/lib-dynload/_ctypes.cpython-311-x86_64-linux-gnu.so')
loader.create_module(m.ModuleSpec('_ctypes', loader, origin=loader.path))
)",
       {{kLoadError}}},
      {96,
       "ImportNumpysCtypes",
       "import numpy.ctypeslib as c\n" + Method("return c.as_array and c.ctypes.CDLL"),
       {{kLoadError, kRuntimeError}}},
      {97, "ImportSocket", "import socket", {{kLoadError}, "ModuleNotFoundError"}},
      {97, "ImportSubprocess", "import subprocess", {{kLoadError}, "ModuleNotFoundError"}},
      {97, "ImportMmap", "import mmap", {{kLoadError}, "ModuleNotFoundError"}},
      {97, "ImportUnlisted", "import xml.etree", {{kLoadError}, "ModuleNotFoundError"}},
      {97, "ImportNothingThere", "import torch", {{kLoadError}, "ModuleNotFoundError"}},
      {97, "ImportListed", allowed + Method("return x + 1"), {{kPass}}},
      {97,
       "ImportSortedContainers",
       "import sortedcontainers as s\n" + Method("return s.SortedList([x + 1])[0]"),
       {{kPass}}},
      {97, "ImportNumpy", "import numpy as np\n" + Method("return int(np.array([x]).sum()) + 1"), {{kPass}}},
  };
}

}  // namespace

std::vector<HostileCase> SourceCases() { return Joined({Compiling(), Leaving(), Importing()}); }

}  // namespace evilmoe
