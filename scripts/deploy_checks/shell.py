"""Shell scripts by shellcheck, Dockerfiles by hadolint, #SBATCH lines by what sbatch would make of them."""
import re
import subprocess

from deploy_checks.report import tool

# sbatch reads its lines up to the first command, and ignores the rest without a word.
SBATCH = re.compile(r"#SBATCH (--[a-z-]+)(?:=(\S+))?$")
KNOWN = {"--array", "--cpus-per-task", "--gpus", "--job-name", "--mem", "--nodes", "--ntasks", "--open-mode", "--output",
         "--partition", "--requeue", "--signal", "--time"}
NEEDED = {"--job-name", "--time", "--signal", "--requeue", "--open-mode", "--output", "--cpus-per-task", "--mem"}


def scripts(root):
    """Every shell script of docker/ and deploy/, and this check's own neighbours."""
    found = [root / "scripts/bootstrap"]
    for folder in ("docker", "deploy"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".sh", ".sbatch") or (path.is_file() and path.read_bytes()[:19] == b"#!/usr/bin/env bash"):
                found.append(path)
    return found


def run(command, report):
    """Every line that the program prints is a problem."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    for line in lines:
        report.problem("lint", line)
    if done.returncode != 0 and not lines:
        report.problem("lint", f"{command[0]}: exit code {done.returncode}")


def seconds_of(text):
    """Slurm's [days-]hours:minutes:seconds."""
    days, _, rest = text.rpartition("-")
    hours, minutes, seconds = map(int, rest.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def check_batch_script(path, text, report):
    options, ended = {}, False
    for line in text.splitlines()[1:]:
        if line.startswith("#SBATCH"):
            match = SBATCH.match(line)
            report.expect(not ended, path, f"{line}: stands behind a command, where sbatch does not read it")
            if report.expect(match and match[1] in KNOWN, path, f"{line}: expected --NAME[=VALUE], one of {sorted(KNOWN)}"):
                options[match[1]] = match[2]
        ended = ended or not (line.startswith("#") or not line.strip())
    report.expect(NEEDED <= set(options), path, f"lacks {sorted(NEEDED - set(options))}")
    signal = re.fullmatch(r"B:TERM@([0-9]+)", options.get("--signal") or "")
    if report.expect(signal, path, f"--signal={options.get('--signal')}, expected B:TERM@SECONDS: to the batch script alone"):
        report.expect(int(signal[1]) < seconds_of(options.get("--time", "0:0:0")), path, "the signal comes before the job starts")
    report.count("batch scripts")


def check(root, report):
    found = scripts(root)
    if tool("shellcheck"):
        run([tool("shellcheck"), "-x", "-P", "SCRIPTDIR", "-f", "gcc"] + [str(path) for path in found], report)
        report.count("shell scripts", len(found))
    else:
        report.skip("shell scripts", "no shellcheck")
    if tool("hadolint"):
        run([tool("hadolint"), "--no-color", str(root / "docker/Dockerfile")], report)
        report.count("Dockerfiles")
    else:
        report.skip("Dockerfile", "no hadolint")
    for path in sorted((root / "deploy/slurm").glob("*.sbatch")):
        check_batch_script(path.relative_to(root), path.read_text(), report)
