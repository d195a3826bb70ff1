"""evilmoe-grader's offline face."""
import json
import pathlib
import subprocess
import sys
import tempfile


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


def fenced(code):
    return f"```python\n{code}\n```"


def outcome(answer):
    """None when the solution passes, else why not. Times are left out: they are not the same twice."""
    if "error" in answer:
        return answer["error"]
    if answer["facts"]["gt_correct"]:
        return None
    verdict = answer["verdict"].get("gt_correct")
    return "no code" if verdict is None else f"{verdict['kind']} at {verdict['index']}"


def values_digest(answer):
    """Hex SHA-256 over all values that the solution returned, in order; None where the grader doesn't say."""
    return answer.get("verdict", {}).get("gt_correct", {}).get("values_digest")
