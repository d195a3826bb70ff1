"""Canonical solutions: twice in the sandbox, once by their own asserts in plain Python."""
import concurrent.futures
import subprocess
import sys

from sandbox_parity import grader as sandbox
from sandbox_parity import leetcode

PLAIN_TIMEOUT_S = 60


def plain(row):
    """None when the asserts pass in a fresh interpreter, else what ended it."""
    program = f"{row['prompt']}\n{row['completion']}\n{row['test']}\ncheck({row['entry_point']})\n"
    try:
        done = subprocess.run([sys.executable, "-c", "import sys; exec(compile(sys.stdin.read(), '<row>', 'exec'))"],
                              input=program.encode(), capture_output=True, timeout=PLAIN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"over {PLAIN_TIMEOUT_S} s"
    return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip().splitlines()[-1][:100]


def not_the_same(first, second):
    """Indices of the answers whose outcome or values differ."""
    return [number for number, pair in enumerate(zip(first, second))
            if len({(sandbox.outcome(answer), sandbox.values_digest(answer)) for answer in pair}) > 1]


def compare(grader, rows):
    """Prints the problems that do not pass. False when the sandbox loses one, or when two gradings differ."""
    problems = [leetcode.problem_of(number, row) for number, (_, row) in enumerate(rows)]
    tasks = [{"id": problem["id"], "response": sandbox.fenced(problem["canonical_solution"])} for problem in problems]
    first, second = sandbox.ask(grader, problems, tasks), sandbox.ask(grader, problems, tasks)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        beside = list(pool.map(lambda entry: plain(entry[1]), rows))
    outcomes = [sandbox.outcome(answer) for answer in first]
    unlike = not_the_same(first, second)
    lost = [number for number in range(len(rows)) if beside[number] is None and outcomes[number] is not None]
    for number, (name, row) in enumerate(rows):
        if outcomes[number] is not None or beside[number] is not None or number in unlike:
            print(f"{name} {row['task_id']}: sandbox {outcomes[number] or 'PASS'}; "
                  f"again {sandbox.outcome(second[number]) or 'PASS'}; plain Python {beside[number] or 'PASS'}")
    digests = sum(sandbox.values_digest(answer) is not None for answer in first)
    print(f"{len(rows)} problems, {sum(len(problem['gt_answer']) for problem in problems)} asserts: "
          f"{outcomes.count(None)} pass in the sandbox, {beside.count(None)} in plain Python, "
          f"{len(lost)} only in plain Python, {len(unlike)} not the same twice ({digests} with a digest of the values)")
    return not lost and not unlike
