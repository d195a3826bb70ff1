"""What the experiments on nano share: runs by name, and means over seeds."""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# 97.5 % quantiles of Student's t by degrees of freedom.
T_QUANTILE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def add_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Options of every experiment; runs go to runs/`folder` unless told otherwise."""
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs" / folder, help="folder for everything")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the binaries")
    parser.add_argument("--table", action="store_true", help="run nothing")


def find_run(out: pathlib.Path, name: str) -> pathlib.Path | None:
    """The directory of the run of this name that has succeeded."""
    for file in sorted((out / "runs").glob("*/run.json")):
        run = json.loads(file.read_text())
        if run["name"] == name and run["state"] == "succeeded":
            return file.parent
    return None


def ctl(args: argparse.Namespace, words: list[str], log: pathlib.Path) -> None:
    """Runs evilmoe-ctl with its runs under --out; its output goes to `log`."""
    command = [str(args.bin / "evilmoe-ctl"), *words]
    with log.open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT,
                              env={**os.environ, "EVILMOE_HOME": str(args.out / "runs")}).returncode
    if code != 0:
        sys.exit(f"{' '.join(command)}: exit code {code}; its output is in {log}")


def submit(args: argparse.Namespace, name: str, seed: int, sets: list[str]) -> pathlib.Path:
    """Runs examples/nano/run.yaml with `sets` under this name unless it has been; its directory."""
    directory = find_run(args.out, name)
    if directory is None:
        print(f"running {name}", file=sys.stderr, flush=True)
        words = ["submit", "examples/nano/run.yaml", "--name", name, "--seed", str(seed)]
        for field in sets:
            words += ["--set", field]
        ctl(args, words, args.out / f"{name}.log")
        directory = find_run(args.out, name)
    if directory is None:
        sys.exit(f"{name}: the run ended without success; see {args.out / name}.log")
    return directory


def ablation_row(directory: pathlib.Path, mode: str, markers: str = "trained") -> dict:
    """Rates of one mode of a run's final ablation."""
    table = json.loads((directory / "eval/ablation.json").read_text())
    return next(row for row in table["rows"] if row["mode"] == mode and row["markers"] == markers)


def metrics(directory: pathlib.Path) -> list[dict]:
    """A run's steps."""
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval over seeds."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, mean, mean
    half = T_QUANTILE[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def mean_text(values: list[float], digits: int = 3, low: float = 0.0, high: float = 1.0) -> str:
    """Mean with Student's 95 % interval over seeds, cut to [low, high]."""
    mean, left, right = interval(values)
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{max(low, left):.{digits}f}, {min(high, right):.{digits}f}]"
