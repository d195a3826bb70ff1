#!/usr/bin/env python3
"""Canonical solutions graded the way of Ariahw et al.'s evaluator, for run_grader: a fresh interpreter for each.

    grader_peer.py --problems FILE --workers N [--repeats R]      # a JSON line a run, then one for the batch
    grader_peer.py --problems FILE --workers N --own-cpu          # the floor of any grader: the solutions' own CPU time

A run is one `python3 -c` (of the interpreter that runs this): it executes the setup code, the solution and then each
assert in a try of its own, counts those that pass and prints a JSON line; its parent waits with a timeout. No rlimit,
no sandbox. The work goes in by standard input.

Own CPU time: compiling and loading the solution, and its calls, in an interpreter that is warm, with setup code
executed and all arguments made before the clock starts. Comparing is not in it.
"""

import argparse
import ast
import concurrent.futures
import gc
import json
import multiprocessing
import pathlib
import subprocess
import sys
import time

TIMEOUT_S = 300
PROGRAM = """
import json, sys
work = json.load(sys.stdin)
names = {"__name__": "__main__"}
errors = []

def passes(source):
    try:
        exec(source, names)
    except BaseException as error:
        errors.append(f"{type(error).__name__}: {error}"[:200])
        return False
    return True

passed = 0
if passes(work["setup_code"]) and passes(work["solution"]):
    for test in work["tests"]:
        passed += passes(test)
print(json.dumps({"passed": passed, "tests": len(work["tests"]), "errors": errors[:3]}))
"""


def run(problem):
    work = json.dumps({"setup_code": problem["setup_code"], "solution": problem["canonical_solution"],
                       "tests": problem["gt_answer"]})
    begin = time.perf_counter()
    try:
        done = subprocess.run([sys.executable, "-c", PROGRAM], input=work, capture_output=True, text=True,
                              timeout=TIMEOUT_S, check=False)
        told = done.stdout.splitlines()[-1:] or [json.dumps({"passed": 0, "errors": [done.stderr[-200:]]})]
    except subprocess.TimeoutExpired:
        told = [json.dumps({"passed": 0, "errors": [f"over {TIMEOUT_S} s"]})]
    return {"id": problem["id"], "wall_ms": 1e3 * (time.perf_counter() - begin), **json.loads(told[0])}


def arguments_of(test, names):
    """Of the call in `assert Solution().name(key=value, ...) == expected`."""
    call = ast.parse(test).body[0].test.left
    assert not call.args, f"{test}: positional arguments, expected named ones"
    return {word.arg: eval(compile(ast.Expression(word.value), "<argument>", "eval"), names) for word in call.keywords}


def own_cpu(problem):
    names = {"__name__": "__main__"}
    exec(problem["setup_code"], names)
    calls = [arguments_of(test, names) for test in problem["gt_answer"]]
    method = problem["func_name"].removeprefix("Solution().")
    gc.collect()
    gc.freeze()  # the arguments of later calls are nothing that a collection should visit
    begin = time.process_time()
    exec(problem["canonical_solution"], names)
    for arguments in calls:
        getattr(names["Solution"](), method)(**arguments)
    return {"id": problem["id"], "cpu_ms": 1e3 * (time.process_time() - begin)}


def measure(problems, options):
    if options.own_cpu:
        # Forked for each problem from an interpreter that has all imports: none sees what an earlier one left.
        for problem in problems:
            exec(problem["setup_code"], {"__name__": "__main__"})
        with multiprocessing.get_context("fork").Pool(options.workers, maxtasksperchild=1) as pool:
            return pool.map(own_cpu, problems, chunksize=1)
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        return list(pool.map(run, problems * options.repeats))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=pathlib.Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--own-cpu", action="store_true")
    options = parser.parse_args()
    problems = [json.loads(line) for line in options.problems.read_text(encoding="utf-8").split("\n") if line]
    begin = time.perf_counter()
    rows = measure(problems, options)
    batch_ms = 1e3 * (time.perf_counter() - begin)
    for row in rows + [{"batch_ms": batch_ms}]:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
