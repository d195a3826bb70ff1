"""What a check found: problems, how much was looked at, and what could not be for want of a tool."""
import importlib.util
import shutil
import sys
import pathlib


class Report:
    def __init__(self):
        self.problems, self.skipped, self.counts = [], [], {}

    def problem(self, where, text):
        self.problems.append(f"{where}: {text}")

    def expect(self, condition, where, text):
        """A problem unless `condition` holds."""
        if not condition:
            self.problem(where, text)
        return bool(condition)

    def skip(self, part, reason):
        if (part, reason) not in self.skipped:
            self.skipped.append((part, reason))

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def print(self, out=sys.stdout):
        for problem in self.problems:
            print(f"check_deploy: {problem}", file=out)
        for part, reason in self.skipped:
            print(f"skipped: {part}: {reason}", file=out)
        looked_at = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        print(f"{looked_at or 'nothing'} checked, {len(self.problems)} problems, {len(self.skipped)} parts skipped", file=out)


def tool(name):
    """The path of a program: beside this Python first (a virtual environment), then in PATH; None: there is none."""
    beside = pathlib.Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def has_module(name):
    return importlib.util.find_spec(name) is not None
