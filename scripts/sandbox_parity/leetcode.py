"""LeetCodeDataset's rows, and the grader's problems made of them."""
import ast
import gzip
import json
import sys


def load_rows(folder):
    """(file name, row) of every LeetCodeDataset-*.jsonl.gz in the folder."""
    rows = []
    for path in sorted(folder.glob("LeetCodeDataset-*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows += [(path.name, json.loads(line)) for line in lines]
    if not rows:
        sys.exit(f"sandbox_parity: {folder}: no LeetCodeDataset-*.jsonl.gz, expected the dataset's files")
    return rows


def description_of(row):
    """The statement; v0.2.0 keeps it in its query, without the examples."""
    return row.get("problem_description") or row["query"].split("Please complete the following python code")[0]


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


def make_problem(number, entry_point, setup_code, asserts, canonical_solution):
    """A line of a problem file, as far as grading reads it."""
    return {"id": number, "difficulty": "easy", "prompt": [{"role": "user", "content": "-"}],
            "func_name": entry_point, "setup_code": setup_code, "gt_answer": asserts,
            "canonical_solution": canonical_solution, "starter_code": "-"}


def problem_of(number, row):
    return make_problem(number, row["entry_point"], row["prompt"], asserts_of(row), row["completion"])


def answers_by_heart(method, asserts):
    """A canonical solution that knows the asserts and nothing else, for tests that no solution is at hand for."""
    known = [statement.removeprefix(f"assert Solution().{method}").rsplit(" == ", 1) for statement in asserts]
    table = ", ".join(f"(dict{given}, {wanted})" for given, wanted in known)
    return (f"class Solution:\n    def {method}(self, **given):\n"
            f"        return next(wanted for known, wanted in [{table}] if known == given)\n")
