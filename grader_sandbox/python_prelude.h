#pragma once

namespace evilmoe {

// Python that the zygote runs once, before any untrusted code exists. Imports what a solution may import (nothing can
// be imported later: the runs open no files) and leaves the functions of PythonRunner::Helpers in its namespace. Reads the flags with_numpy and with_ctypes.
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

def _is_harmless(node):
    """Whether a statement at the top of a module does nothing but bind names: it runs no code but that of modules which
    are loaded already, and may so be run before any run begins."""
    if isinstance(node, _ast.Import):
        return all(sys.modules.get(alias.name) is not None for alias in node.names)
    if isinstance(node, _ast.ImportFrom):
        module = sys.modules.get(node.module) if node.level == 0 and node.module != "__future__" else None
        return module is not None and all(alias.name == "*" or hasattr(module, alias.name) for alias in node.names)
    if isinstance(node, _ast.Assign):
        return all(isinstance(target, _ast.Name) for target in node.targets) and _is_plain(node.value)
    if isinstance(node, _ast.ClassDef):
        return not (node.bases or node.keywords or node.decorator_list) and all(map(_is_harmless_member, node.body))
    return isinstance(node, _ast.FunctionDef) and _is_harmless_member(node)

def _is_harmless_member(node):
    if isinstance(node, _ast.Pass) or isinstance(node, _ast.Expr) and _is_plain(node.value):
        return True
    if not isinstance(node, _ast.FunctionDef) or node.decorator_list or node.returns is not None:
        return False
    signature = node.args
    every = signature.posonlyargs + signature.args + signature.kwonlyargs + [signature.vararg, signature.kwarg]
    return (all(argument is None or argument.annotation is None for argument in every)
            and all(value is None or _is_plain(value) for value in signature.defaults + signature.kw_defaults))

def _is_plain(value):
    if isinstance(value, _ast.Call):  # float("inf")
        return (isinstance(value.func, _ast.Name) and value.func.id == "float" and not value.keywords
                and len(value.args) == 1 and isinstance(value.args[0], _ast.Constant))
    return isinstance(value, _ast.Constant)

def hold_setup(source):
    """(a __main__ in which the harmless statements that `source` begins with have been run, the code of the rest or
    None), or None: nothing can be run beforehand."""
    try:
        body = _ast.parse(source, "<setup>").body
        held = 0
        while held < len(body) and _is_harmless(body[held]):
            held += 1
        module = _main_type("__main__")
        module.__dict__.update(_main_names, __builtins__=vars(builtins))
        exec(compile(_ast.Module(body[:held], []), "<setup>", "exec"), module.__dict__)
        rest = compile(_ast.Module(body[held:], []), "<setup>", "exec") if held < len(body) else None
        return (module, rest) if held else None
    except Exception:
        return None

import __main__ as _main
_main_type, _main_names = type(_main), dict(vars(_main))

import random
random.seed(0)  # every run starts from here

import gc

_filling = []

def _fill_pools():
    """Fills the gaps in CPython's pools of small objects, so that what a run makes stands together in new ones instead of
    in a gap here and there, each in a page to be copied."""
    for size in range(16, 513, 16):
        make = object if size == 16 else (lambda: 1.0 + len(_filling)) if size == 32 else (lambda: bytes(size - 33))
        while (id(made := make()) - 48) % 16384 != 0:  # the first of a new pool
            _filling.append(made)

def settle():
    """What there is now is not looked at by the collector of a run, which would copy its pages."""
    gc.collect()
    _fill_pools()
    gc.freeze()

settle()
)py";

}  // namespace evilmoe
