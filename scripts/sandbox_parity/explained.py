"""The table of explained differences (tests/golden/sandbox_rollouts.jsonl), and its evidence, run again in the sandbox.

A line: {row, problem, differs: {what: [ours, recorded]}, cause, input, expected, got, note}. `input` is one call's
arguments, `expected` what the canonical solution gives for it (for a problem that no file has: the brute force of
sandbox_rollouts_reference.py), `got` what the completion gives, or the verdict where it gives no value.

That the rows of `other_answer` and `outside` are right otherwise was tried by hand: 1,000 random inputs inside the
constraints each, judged by the canonical solution or that brute force. It is not run again here.
"""
import ast
import json

from sandbox_parity import grader as sandbox
from sandbox_parity import leetcode

CAUSES = {
    "wrong": "the completion is wrong for an input inside the constraints, and our tests have no such input",
    "other_answer": "a right answer, but not the one of several that the record's tests asked for",
    "outside": "right inside the constraints; the record's tests also have inputs outside of them",
    "pays_stub": "the record pays when a stub passes the model's test function, here its own solution has to",
    "block_counts": "the record's fmt_ok is that there is a code block; its own reward says that it does not compile",
}


def load(path):
    """row -> line."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["row"]: line for line in lines}


def not_in_table(table, found):
    """Texts for all that table and differences ({row: differs}) do not agree on."""
    texts = []
    for row, differs in sorted(found.items()):
        if row not in table:
            texts.append(f"row {row}: {differs} is not explained")
        elif table[row]["differs"] != differs:
            texts.append(f"row {row}: {differs}, the table says {table[row]['differs']}")
        elif table[row]["cause"] not in CAUSES:
            texts.append(f"row {row}: no such cause: {table[row]['cause']}")
    return texts + [f"row {row}: the table says {line['differs']}, but nothing differs"
                    for row, line in sorted(table.items()) if row not in found]


def alike(one, other):
    """Whether two answers can both be right: another order, a rounded number, another palindrome of that length."""
    if isinstance(one, str) and isinstance(other, str):
        return sorted(one) == sorted(other) or len(one) == len(other) and all(x == x[::-1] for x in (one, other))
    if isinstance(one, list) and isinstance(other, list):
        return sorted(one) == sorted(other)
    return all(isinstance(x, (int, float)) for x in (one, other)) and abs(one - other) <= 1e-5


def trials(line, problem, reference):
    """[the problem that wants `expected`, the one that wants `got`], each with one assert on `input`."""
    call = f"assert {problem['func_name']}({line['input']}) == "
    method = problem["func_name"].removeprefix("Solution().")
    wants_expected = leetcode.make_problem(2 * line["row"], problem["func_name"], problem["setup_code"],
                                           [call + line["expected"]], reference or problem["canonical_solution"])
    if line["got"].isupper():
        return [wants_expected]
    return [wants_expected, leetcode.make_problem(2 * line["row"] + 1, problem["func_name"], problem["setup_code"],
                                                  [call + line["got"]],
                                                  leetcode.answers_by_heart(method, [call + line["got"]]))]


def faults_of_call(line, wants_expected, wants_got):
    """What the answers to trials() say against the line; wants_got is None where `got` is a verdict."""
    if "error" in wants_expected:
        return [f"expected {line['expected']}: {wants_expected['error']}"]
    if wants_expected["facts"]["gt_correct"]:
        return ["the completion gives what is expected"]
    if wants_got is None:
        kind = wants_expected["verdict"]["gt_correct"]["kind"]
        return [] if kind == line["got"] else [f"the completion ends with {kind}, not {line['got']}"]
    if sandbox.outcome(wants_got) is not None:
        return [f"the completion does not give {line['got']}: {sandbox.outcome(wants_got)}"]
    could_be_right = alike(ast.literal_eval(line["expected"]), ast.literal_eval(line["got"]))
    if line["cause"] != "outside" and could_be_right != (line["cause"] == "other_answer"):
        return [f"{line['expected']} and {line['got']} do not make it {line['cause']}"]
    return []


def faults_of_channel(line, facts, recorded):
    """The same for the causes that need no call."""
    holds = {"pays_stub": facts.get("model_tests_pass_stub") == recorded["hacked"] != facts.get("hint_pass"),
             "block_counts": facts.get("can_compile") is False and recorded["reward"] == 0}
    return [] if holds.get(line["cause"]) else [f"the facts do not make it {line['cause']}"]


def check(grader, table, rollouts, answers, problems, unknown, reference):
    """Runs every line's evidence; texts for what does not hold. `unknown`: ids of the problems that no file has."""
    asked, tasks = [], []
    for line in table.values():
        if "input" in line:
            number = rollouts[line["row"]]["problem_id"]
            asked += trials(line, problems[number], reference if number in unknown else None)
    for problem in asked:
        tasks.append({"id": problem["id"], "response": rollouts[problem["id"] // 2]["completion"]})
    told = {problem["id"]: answer for problem, answer in zip(asked, sandbox.ask(grader, asked, tasks))}
    texts = []
    for row, line in table.items():
        faults = (faults_of_call(line, told[2 * row], told.get(2 * row + 1)) if "input" in line
                  else faults_of_channel(line, answers[row].get("facts", {}), rollouts[row]["recorded"]))
        texts += [f"row {row}: {fault}" for fault in faults]
    return texts
