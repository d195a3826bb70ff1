#!/usr/bin/env python3
"""Compares the sandbox with plain Python and with another grader's record, and says where they differ.

    scripts/sandbox_parity.py --data FOLDER [--grader build/release/bin/evilmoe-grader] [--limit N]
    scripts/sandbox_parity.py --data FOLDER --rollouts FILE.jsonl.gz [--check-evidence]

FOLDER holds LeetCodeDataset-*.jsonl.gz. Its canonical solutions are graded twice here, and once by their own asserts in
a fresh python3. Prints a table of the problems that do not pass, with the reason, and exits 1 when a solution that
passes in plain Python does not pass in the sandbox, or when two gradings differ: in verdict or in a value returned.

With --rollouts it grades recorded completions instead: problem_id, messages, completion, recorded {gt_pass, hacked,
fmt_ok, reward}. Each difference must stand in tests/golden/sandbox_rollouts.jsonl with its cause, and each line of that
table must still occur, else the rows are printed and it exits 1. --check-evidence runs the table's evidence again, in
the sandbox.
"""

import argparse
import collections
import pathlib
import sys

from sandbox_parity import canonical, explained, leetcode, rollouts

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "tests/golden"


def compare_record(options, rows):
    """Prints where the sandbox and the record disagree; whether the table explains all of it."""
    recorded = rollouts.read(options.rollouts)
    problems, unknown = rollouts.problems_of(rollouts.prompts_of(recorded), rows)
    answers = rollouts.grade(options.grader, recorded, problems)
    differing = [rollouts.differences(*pair) for pair in zip(recorded, answers)]
    found = {row: differs for row, differs in enumerate(differing) if differs}
    table = explained.load(options.table)
    texts = explained.not_in_table(table, found)
    if options.check_evidence:
        by_number = {problem["id"]: problem for problem in problems}
        reference = (GOLDEN / "sandbox_rollouts_reference.py").read_text(encoding="utf-8")
        texts += explained.check(options.grader, table, recorded, answers, by_number, unknown, reference)
        texts += [f"row {row}: the record pays it another way" for row in rollouts.pays_another_way(recorded)]
    for text in texts:
        print(text)
    by_examples = sum(rollout["problem_id"] in unknown for rollout in recorded)
    causes = collections.Counter(table[row]["cause"] for row in found if row in table)
    print(f"{len(recorded)} rollouts, {len(recorded) - by_examples} of a problem in the files, {by_examples} by the "
          f"examples in their prompt: {len(recorded) - len(found)} agree, {len(found)} differ, {len(texts)} open")
    for cause, count in causes.most_common():
        print(f"{count:5} {cause}: {explained.CAUSES.get(cause, 'unknown')}")
    return not texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--grader", default="build/release/bin/evilmoe-grader")
    parser.add_argument("--limit", type=int, help="only the first N rows of the data")
    parser.add_argument("--rollouts", type=pathlib.Path)
    parser.add_argument("--table", type=pathlib.Path, default=GOLDEN / "sandbox_rollouts.jsonl")
    parser.add_argument("--check-evidence", action="store_true")
    options = parser.parse_args()
    rows = leetcode.load_rows(options.data)[:options.limit]
    if options.rollouts is not None:
        return 0 if compare_record(options, rows) else 1
    return 0 if canonical.compare(options.grader, rows) else 1


if __name__ == "__main__":
    sys.exit(main())
