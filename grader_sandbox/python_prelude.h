#pragma once

namespace evilmoe {

// Python that the zygote runs once, before any untrusted code exists. Imports what a solution may import (nothing can
// be imported later: the runs open no files) and leaves find_test_function, examine and
// run_exit_functions in its namespace. Reads the flags with_numpy and with_ctypes.
inline constexpr char kPythonPrelude[] = R"py(
import importlib, sys, builtins

_REQUIRED = """
abc array ast base64 bisect builtins calendar cmath collections collections.abc contextlib copy dataclasses datetime
_strptime decimal difflib enum fractions functools gc hashlib heapq inspect io itertools json keyword linecache
locale math numbers operator os posix pprint queue random re reprlib signal statistics string struct sys textwrap
threading time timeit traceback types typing unicodedata unittest warnings weakref zlib
encodings.ascii encodings.latin_1 encodings.utf_8 encodings.utf_16 encodings.utf_32 encodings.idna
encodings.unicode_escape encodings.raw_unicode_escape encodings.cp1252 encodings.rot_13 encodings.hex_codec
""".split()
_OPTIONAL = ["sortedcontainers"] + (["numpy"] if with_numpy else [])
_FORBIDDEN = ["ctypes", "_ctypes", "socket", "_socket", "subprocess", "_posixsubprocess", "multiprocessing",
              "readline", "resource", "fcntl", "mmap", "syslog"]

if with_ctypes:
    _OPTIONAL, _FORBIDDEN = ["ctypes"], []

def _import_all():
    # Hooks that modules hang on a fork make every run dearer; what they repair (other threads' locks, random's seed) is
    # not broken here.
    import os
    os.register_at_fork = lambda **hooks: None
    for name in _REQUIRED:
        importlib.import_module(name)
    for name in _OPTIONAL:
        # None makes an import fail: numpy does without ctypes, and ctypes is nothing for a solution.
        if not with_ctypes:
            sys.modules["ctypes"] = None
        try:
            importlib.import_module(name)
        except ImportError:
            pass
        if not with_ctypes:
            del sys.modules["ctypes"]
    import _sitebuiltins
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
    present = [name for name in _FORBIDDEN if name in sys.modules]
    if present:
        raise RuntimeError("the allow-list pulls in " + ", ".join(present))
    for name in _FORBIDDEN:  # some are part of the interpreter, and would need no file
        sys.modules[name] = None
    sys.path[:] = []
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder]
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()

_import_all()

import ast as _ast

def find_test_function(source, name):
    """(class name, "" for none; whole source lines) of the first `def name`, or None."""
    waiting = [("", node) for node in reversed(_ast.parse(source).body)]
    while waiting:
        owner, node = waiting.pop()
        if isinstance(node, _ast.FunctionDef) and node.name == name:
            first = min([node.lineno] + [decorator.lineno for decorator in node.decorator_list])
            lines = source.splitlines(keepends=True)[first - 1:node.end_lineno]
            return owner, "".join(lines)
        if isinstance(node, _ast.ClassDef):
            owner = node.name
        elif isinstance(node, (_ast.FunctionDef, _ast.AsyncFunctionDef)):
            owner = ""
        waiting.extend((owner, child) for child in reversed(list(_ast.iter_child_nodes(node))))
    return None

from atexit import _run_exitfuncs as run_exit_functions

class _NextCall(BaseException):
    pass

def examine(code, names, values):
    """Runs one assert with `values` in the place of what the solution's first calls return.

    None: it holds. A str: the type of the exception it raised. (name, args, kwargs): it makes one more call."""
    left = iter(values)

    class Solution:
        def __getattr__(self, name):
            def method(*args, **kwargs):
                for value in left:
                    return value
                raise _NextCall(name, args, kwargs)
            return method

    names["Solution"] = Solution
    try:
        exec(code, names)
    except _NextCall as call:
        return call.args
    except BaseException as error:
        return type(error).__name__
    return None

import random
random.seed(0)  # every run starts from here

import gc
gc.collect()
gc.freeze()
)py";

}  // namespace evilmoe
