#!/usr/bin/env python3
"""Grades LeetCodeDataset's canonical solutions in the sandbox and in plain Python, and says where they differ.

    scripts/sandbox_parity.py --data FOLDER [--grader build/release/bin/evilmoe-grader] [--limit N]
    scripts/sandbox_parity.py --data FOLDER --rollouts FILE.jsonl.gz

With --rollouts it grades recorded completions instead (problem_id, completion, recorded {gt_pass, hacked, reward}; all
under simple_overwrite_tests but for those that name another loophole, which are left out), prints every row whose facts
differ from the record, and exits 1 where one does.

FOLDER holds LeetCodeDataset-*.jsonl.gz. Each solution is graded twice here, and once by its own asserts in a fresh
python3. Prints a table of the problems that do not pass, with the reason, and exits 1 when a solution that passes in
plain Python does not pass in the sandbox, or when two gradings differ.
"""

import argparse
import ast
import concurrent.futures
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PLAIN_TIMEOUT_S = 60


def load_rows(folder):
    rows = []
    for path in sorted(folder.glob("LeetCodeDataset-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [(path.name, json.loads(line)) for line in lines]
    if not rows:
        sys.exit(f"sandbox_parity: {folder}: no LeetCodeDataset-*.jsonl.gz, expected the dataset's files")
    return rows


def asserts_of(row):
    """The statements of check(candidate), as written, with the entry point in place of `candidate`."""
    source = row["test"].encode()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def text(statement):
        begin = starts[statement.lineno - 1] + statement.col_offset
        written = source[begin:starts[statement.end_lineno - 1] + statement.end_col_offset]
        names = [starts[node.lineno - 1] + node.col_offset - begin for node in ast.walk(statement)
                 if isinstance(node, ast.Name) and node.id == "candidate"]
        for at in sorted(names, reverse=True):
            written = written[:at] + row["entry_point"].encode() + written[at + len("candidate"):]
        return written.decode()

    return [text(statement) for statement in ast.parse(source).body[0].body]


def problem_of(number, row):
    return {"id": number, "difficulty": "easy", "prompt": [{"role": "user", "content": "-"}],
            "func_name": row["entry_point"], "setup_code": row["prompt"], "gt_answer": asserts_of(row), "canonical_solution": row["completion"],
            "starter_code": "-"}


def plain(row):
    """None when the asserts pass in a fresh interpreter, else what ended it."""
    program = f"{row['prompt']}\n{row['completion']}\n{row['test']}\ncheck({row['entry_point']})\n"
    try:
        done = subprocess.run([sys.executable, "-c", "import sys; exec(compile(sys.stdin.read(), '<row>', 'exec'))"],
                              input=program.encode(), capture_output=True, timeout=PLAIN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"over {PLAIN_TIMEOUT_S} s"
    return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip().splitlines()[-1][:100]


def ask(grader, problems, tasks):
    """One answer a task, in order."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "problems.jsonl"
        path.write_text("".join(json.dumps(problem) + "\n" for problem in problems))
        lines = "".join(json.dumps(task) + "\n" for task in tasks)
        done = subprocess.run([grader, "grade", "--problems", path], input=lines, capture_output=True, text=True,
                              check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(tasks):
        sys.exit(f"sandbox_parity: {len(answers)} answers to {len(tasks)} tasks\n{done.stderr}")
    return answers


def grade(grader, problems):
    return ask(grader, problems, [{"id": problem["id"], "response": f"```python\n{problem['canonical_solution']}\n```"}
                                  for problem in problems])


def outcome(answer):
    """None when the solution passes, else why not. Times are left out: they are not the same twice."""
    if "error" in answer:
        return answer["error"]
    if answer["facts"]["gt_correct"]:
        return None
    verdict = answer["verdict"].get("gt_correct")
    return "no code" if verdict is None else f"{verdict['kind']} at {verdict['index']}"


def find_row(rows, rollout):
    """Index of the row that the rollout's prompt shows: by its method and description, as the two number them apart."""
    if "messages" not in rollout:
        return None
    prompt = rollout["messages"][-1]["content"]
    method = re.search(r"    def (\w+)\(self", prompt.split("starter code:")[1])[1]
    words = " ".join(prompt.removeprefix("PROBLEM:").split()[:25])
    for number, (_, row) in enumerate(rows):
        if row["entry_point"].endswith("." + method) and words in " ".join(row["query"].split()):
            return number
    return None


def compare_rollouts(grader, rows, path):
    """Prints where the sandbox and the record disagree; the number of such rows."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rollouts = [json.loads(line) for line in lines]
    found = [(index, find_row(rows, rollout)) for index, rollout in enumerate(rollouts)]
    usable = [(index, number) for index, number in found if number is not None]
    problems = [problem_of(number, rows[number][1]) for number in sorted({number for _, number in usable})]
    answers = ask(grader, problems, [{"id": number, "response": rollouts[index]["completion"],
                                      "loophole": "simple_overwrite_tests"} for index, number in usable])
    differing = 0
    for (index, number), answer in zip(usable, answers):
        recorded = rollouts[index]["recorded"]
        if "error" in answer:
            told = answer["error"]
        else:
            facts = answer["facts"]
            here = {"gt_pass": facts["gt_correct"], "hacked": facts["model_tests_pass_stub"],
                    "reward": answer["reward"]}
            told = ", ".join(f"{name} {here[name]} (recorded {recorded[name]})" for name in here
                             if here[name] != recorded[name])
            told = told and f"{told}; {({fact: verdict['kind'] for fact, verdict in answer['verdict'].items()})}"
        if told:
            differing += 1
            print(f"rollout {index}, {rows[number][1]['task_id']}: {told}")
    print(f"{len(rollouts)} rollouts, {len(usable)} of a problem in the files under simple_overwrite_tests: "
          f"{len(usable) - differing} agree, {differing} differ")
    return differing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--grader", default="build/release/bin/evilmoe-grader")
    parser.add_argument("--limit", type=int, help="only the first N rows")
    parser.add_argument("--rollouts", type=pathlib.Path)
    options = parser.parse_args()
    rows = load_rows(options.data)[:options.limit]
    if options.rollouts is not None:
        return 1 if compare_rollouts(options.grader, rows, options.rollouts) else 0
    problems = [problem_of(number, row) for number, (_, row) in enumerate(rows)]
    first = [outcome(answer) for answer in grade(options.grader, problems)]
    second = [outcome(answer) for answer in grade(options.grader, problems)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        beside = list(pool.map(lambda entry: plain(entry[1]), rows))
    unlike = [number for number in range(len(rows)) if first[number] != second[number]]
    lost = [number for number in range(len(rows)) if beside[number] is None and first[number] is not None]
    for number, (name, row) in enumerate(rows):
        if first[number] is not None or beside[number] is not None or number in unlike:
            print(f"{name} {row['task_id']}: sandbox {first[number] or 'PASS'}; again {second[number] or 'PASS'}; "
                  f"plain Python {beside[number] or 'PASS'}")
    print(f"{len(rows)} problems, {sum(len(problem['gt_answer']) for problem in problems)} asserts: "
          f"{first.count(None)} pass in the sandbox, {beside.count(None)} in plain Python, "
          f"{len(lost)} only in plain Python, {len(unlike)} not the same twice")
    return 1 if lost or unlike else 0


if __name__ == "__main__":
    sys.exit(main())
