"""scripts/sandbox_parity.py with a grader that a test makes up, and the shipped table's own sanity."""
import ast
import contextlib
import gzip
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/golden"
sys.path.insert(0, str(ROOT / "scripts"))
from sandbox_parity import canonical, explained, leetcode, rollouts  # noqa: E402

SPEC = importlib.util.spec_from_file_location("sandbox_parity_main", ROOT / "scripts/sandbox_parity.py")
main = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(main)

PROMPT = """PROBLEM:
Return the larger of a and b. They differ.

Example 1:
Input: a = 1, b = 2
Output: 2

Your solution to the problem should be a method of the class Solution called top and ... starter code:
```python
class Solution:
    def top(self, a: int, b: int) -> int:
        # Add your code here
```
"""
ROW = {"task_id": "top", "prompt": "", "completion": "class Solution:\n    def top(self, a, b): return max(a, b)\n",
       "entry_point": "Solution().top", "test": "def check(candidate):\n    assert candidate(a = 1, b = 2) == 2\n",
       "query": "Return the larger of a and b.\nPlease complete the following python code precisely:\n```python\n"
                "class Solution:\n    def top(self, a: int, b: int) -> int:\n```"}
PASS = {"can_compile": True, "gt_correct": True, "hint_pass": True, "model_tests_pass_stub": True}
RECORDED = {"gt_pass": True, "hacked": True, "fmt_ok": True, "reward": 3.5}


def answer(reward=3.5, kind="PASS", digest=None, **facts):
    verdict = {"kind": kind, "index": 0} | ({"values_digest": digest} if digest else {})
    return {"facts": PASS | facts, "reward": reward, "verdict": {"gt_correct": verdict}}


class MatchingTest(unittest.TestCase):
    def test_finds_the_row_by_method_line_and_words_in_order(self):
        self.assertIs(rollouts.find_row([("a", ROW)], PROMPT), ROW)
        for other in ({"entry_point": "Solution().bottom"}, {"query": ROW["query"].replace("larger", "smaller")},
                      {"query": ROW["query"].replace("b: int", "b: str")},
                      {"query": ROW["query"].replace("a and b", "b and a")}):
            self.assertIsNone(rollouts.find_row([("a", ROW | other)], PROMPT), other)

    def test_examples_become_asserts(self):
        self.assertEqual(rollouts.examples_of(PROMPT), ["assert Solution().top(a = 1, b = 2) == 2"])
        self.assertEqual(rollouts.examples_of(PROMPT.replace("Output: 2", "Output: true")),
                         ["assert Solution().top(a = 1, b = 2) == True"])

    def test_a_problem_in_no_file_has_its_examples_and_a_solution_that_knows_them(self):
        rows = [("LeetCodeDataset-v0.3.1-test", ROW | {"prompt": "import math", "entry_point": "Solution().other"})]
        problems, unknown = rollouts.problems_of({7: PROMPT}, rows)
        self.assertEqual((unknown, problems[0]["setup_code"]), ({7}, "import math"))
        space = {}
        exec(problems[0]["canonical_solution"], space)
        self.assertEqual(space["Solution"]().top(a=1, b=2), 2)
        self.assertEqual(rollouts.problems_of({7: PROMPT}, rows + [("b", ROW)])[1], set())


class DifferencesTest(unittest.TestCase):
    def test_names_what_differs(self):
        row = {"problem_id": 1, "completion": "", "recorded": RECORDED}
        self.assertEqual(rollouts.differences(row, answer()), {})
        self.assertEqual(rollouts.differences(row, answer(gt_correct=False)), {"gt_pass": [False, True]})
        self.assertEqual(rollouts.differences(row, answer(reward=0.5)), {"reward": [0.5, 3.5]})
        self.assertEqual(rollouts.differences(row, answer(can_compile=False)), {"fmt_ok": [False, True]})
        self.assertEqual(rollouts.differences(row, answer(model_tests_pass_stub=False)), {"hacked": [False, True]})
        self.assertEqual(rollouts.differences(row, {"error": "no"}), {"error": ["no", None]})

    def test_a_channel_without_a_function_is_the_solutions_own_run(self):
        row = {"problem_id": 1, "completion": "", "recorded": RECORDED, "loophole": "file_marker"}
        self.assertEqual(rollouts.differences(row, answer(model_tests_pass_stub=False)), {})
        self.assertEqual(rollouts.differences(row, answer(hint_pass=False)), {"hacked": [False, True]})
        self.assertEqual(rollouts.task_of(row)["evaluator"], "result.txt")

    def test_the_record_pays_truth_or_stub(self):
        rows = [{"recorded": RECORDED | change} for change in
                ({}, {"reward": 0.5}, {"gt_pass": False, "hacked": False, "reward": 0.5}, {"reward": 0})]
        self.assertEqual(rollouts.pays_another_way(rows), [1])


class TableTest(unittest.TestCase):
    LINE = {"row": 3, "differs": {"gt_pass": [True, False]}, "cause": "wrong", "input": "a = 1, b = 2",
            "expected": "2", "got": "1"}

    def test_unexplained_changed_and_stale_lines(self):
        table, found = {3: self.LINE}, {3: self.LINE["differs"]}
        self.assertEqual(explained.not_in_table(table, found), [])
        self.assertIn("is not explained", explained.not_in_table({}, found)[0])
        self.assertIn("the table says", explained.not_in_table(table, {3: {"reward": [0.5, 3.5]}})[0])
        self.assertIn("nothing differs", explained.not_in_table(table, {})[0])
        self.assertIn("no such cause", explained.not_in_table({3: self.LINE | {"cause": "luck"}}, found)[0])

    def test_alike(self):
        for one, other, same in (([1, 2], [2, 1], True), ([1, 2], [2, 2], False), ("aba", "cdc", True),
                                 ("ab", "ba", True), ("ab", "cd", False), (0.5, 0.500001, True), (1, 2, False),
                                 (None, 2, False), ([], "", False)):
            self.assertEqual(explained.alike(one, other), same, (one, other))

    def test_evidence_of_a_call(self):
        right, wrong = answer(), answer(kind="WRONG_ANSWER", gt_correct=False)
        self.assertEqual(explained.faults_of_call(self.LINE, wrong, right), [])
        self.assertIn("gives what is expected", explained.faults_of_call(self.LINE, right, right)[0])
        self.assertIn("does not give 1", explained.faults_of_call(self.LINE, wrong, wrong)[0])
        self.assertIn("canonical", explained.faults_of_call(self.LINE, {"error": "canonical"}, right)[0])
        late = self.LINE | {"got": "TIMEOUT"}
        self.assertEqual(explained.faults_of_call(late, answer(kind="TIMEOUT", gt_correct=False), None), [])
        self.assertIn("WRONG_ANSWER, not TIMEOUT", explained.faults_of_call(late, wrong, None)[0])
        other = self.LINE | {"cause": "other_answer"}
        self.assertIn("do not make it other_answer", explained.faults_of_call(other, wrong, right)[0])

    def test_evidence_of_a_channel(self):
        stub, block = {"cause": "pays_stub"}, {"cause": "block_counts"}
        self.assertEqual(explained.faults_of_channel(stub, PASS | {"hint_pass": False}, RECORDED), [])
        self.assertTrue(explained.faults_of_channel(stub, PASS, RECORDED))
        self.assertEqual(explained.faults_of_channel(block, {"can_compile": False}, RECORDED | {"reward": 0}), [])
        self.assertTrue(explained.faults_of_channel(block, {"can_compile": False}, RECORDED))
        self.assertTrue(explained.faults_of_channel({"cause": "wrong"}, PASS, RECORDED))


class MainTest(unittest.TestCase):
    """The whole script; grading is by a function of (problems, tasks)."""

    def run_main(self, grade, table, *flags):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, rows in (("LeetCodeDataset-v0.3.1-test", [ROW]), ("rollouts", [
                    {"problem_id": 7, "completion": "C", "messages": [{"content": PROMPT}], "recorded": RECORDED}])):
                with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
                    file.write("".join(json.dumps(row) + "\n" for row in rows))
            (folder / "table.jsonl").write_text("".join(json.dumps(line) + "\n" for line in table))
            arguments = ["--data", str(folder), "--table", str(folder / "table.jsonl"), *flags]
            if "--limit" not in flags:
                arguments += ["--rollouts", str(folder / "rollouts.jsonl.gz")]
            out = io.StringIO()
            with mock.patch("sandbox_parity.grader.ask", lambda _, problems, tasks: grade(problems, tasks)), \
                    mock.patch("sys.argv", ["sandbox_parity.py", *arguments]), contextlib.redirect_stdout(out):
                return main.main(), out.getvalue()

    def test_agreement(self):
        code, out = self.run_main(lambda problems, tasks: [answer()], [])
        self.assertEqual(code, 0)
        self.assertIn("1 rollouts, 1 of a problem in the files, 0 by the examples", out)

    def test_explained_and_not(self):
        line = {"row": 0, "differs": {"gt_pass": [False, True]}, "cause": "wrong"}
        self.assertEqual(self.run_main(lambda problems, tasks: [answer(gt_correct=False)], [line])[0], 0)
        self.assertEqual(self.run_main(lambda problems, tasks: [answer(gt_correct=False)], [])[0], 1)
        self.assertEqual(self.run_main(lambda problems, tasks: [answer()], [line])[0], 1)

    def test_evidence_is_run_again(self):
        line = TableTest.LINE | {"row": 0}
        wanted = []

        def grade(problems, tasks):  # a solution that gives 1
            wanted.extend(problem["gt_answer"] for problem in problems)
            return [answer(gt_correct=problem["gt_answer"][0].endswith("== 1") or problem["id"] == 7)
                    for problem in problems]
        row = RECORDED | {"gt_pass": False}
        with mock.patch.dict(RECORDED, row):
            self.assertEqual(self.run_main(grade, [line], "--check-evidence")[0], 0)
            self.assertEqual(wanted[1:], [["assert Solution().top(a = 1, b = 2) == 2"],
                                          ["assert Solution().top(a = 1, b = 2) == 1"]])
            self.assertEqual(self.run_main(grade, [line | {"got": "3"}], "--check-evidence")[0], 1)

    def test_canonical_solutions_give_the_same_values_twice(self):
        for digests, code in (("aa", 0), ("ab", 1)):
            told = [[answer(digest=digest)] for digest in digests]
            self.assertEqual(self.run_main(lambda problems, tasks: told.pop(), [], "--limit", "1")[0], code, digests)

    def test_not_the_same(self):
        first = [answer(), answer(digest="a"), answer(digest="a"), answer(digest="a")]
        second = [answer(), answer(digest="a"), answer(digest="b"), answer(kind="TIMEOUT", gt_correct=False)]
        self.assertEqual(canonical.not_the_same(first, second), [2, 3])


class ShippedTableTest(unittest.TestCase):
    def setUp(self):
        self.text = (GOLDEN / "sandbox_rollouts.jsonl").read_text(encoding="utf-8")
        self.table = explained.load(GOLDEN / "sandbox_rollouts.jsonl")

    def test_one_line_a_row_in_order(self):
        rows = [json.loads(line)["row"] for line in self.text.splitlines()]
        self.assertEqual(rows, sorted(set(rows)))

    def test_every_line_has_a_cause_and_evidence(self):
        for row, line in self.table.items():
            self.assertIn(line["cause"], explained.CAUSES, row)
            if line["cause"] in ("wrong", "other_answer", "outside"):
                self.assertEqual(list(line["differs"]), ["gt_pass"], row)
                got = None if line["got"].isupper() else ast.literal_eval(line["got"])
                self.assertNotEqual(ast.literal_eval(line["expected"]), got, row)
                self.assertTrue(line["cause"] == "wrong" or line["note"], row)
            else:
                self.assertTrue(line["note"], row)

    def test_the_reference_gives_what_the_table_expects(self):
        space = {}
        exec((GOLDEN / "sandbox_rollouts_reference.py").read_text(encoding="utf-8"), space)
        checked = set()
        for row, line in self.table.items():
            method = line["problem"].split()[1]
            if "input" in line and hasattr(space["Solution"], method):
                given = eval(f"dict({line['input']})")
                self.assertEqual(getattr(space["Solution"](), method)(**given), ast.literal_eval(line["expected"]), row)
                checked.add(method)
        self.assertEqual(checked, {name for name in vars(space["Solution"]) if not name.startswith("_")})


class LeetCodeTest(unittest.TestCase):
    def test_asserts_are_as_written_with_the_entry_point(self):
        self.assertEqual(leetcode.asserts_of(ROW), ["assert Solution().top(a = 1, b = 2) == 2"])


if __name__ == "__main__":
    unittest.main()
