"""Real processes for the page's tests: a coordinator with runs that nobody works on, and a whole run."""
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RUN_FILE = ROOT / "examples/nano/run.yaml"


def await_that(what, seconds, holds):
    """The first true value of holds(), which is asked again and again; AssertionError behind `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := holds():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


class Coordinator:
    """A coordinator of its own, with its page on a free port; started again it keeps the port."""

    def __init__(self, binaries, tokens=None):
        self.binaries = binaries
        self.folder = tempfile.TemporaryDirectory(prefix="page_")
        self.path = pathlib.Path(self.folder.name)
        self.page_port = 0
        self.tokens = None
        if tokens:
            self.tokens = self.path / "tokens.yaml"
            self.tokens.write_text("".join(f"- {{name: {role}, role: {role}, sha256: {hashlib.sha256(token.encode()).hexdigest()}}}\n" for role, token in tokens.items()))
            self.tokens.chmod(0o600)
        self.start()

    def start(self):
        ready = self.path / "ready.json"
        ready.unlink(missing_ok=True)
        config = {"listen": [f"unix:{self.path}/c.sock"], "database": "c.db", "runs": "runs", "log": "c.log", "ready_file": "ready.json",
                  "page_listen": f"127.0.0.1:{self.page_port}"}
        if self.tokens:
            config["tokens"] = "tokens.yaml"
        (self.path / "c.yaml").write_text(json.dumps(config))
        self.process = subprocess.Popen([self.binaries / "evilmoe-coordinator", "--config", self.path / "c.yaml"], stdout=subprocess.DEVNULL)
        self.page_port = json.loads(await_that("the coordinator serves", 60, lambda: ready.exists() and ready.read_text()))["page_port"]
        self.url = f"http://127.0.0.1:{self.page_port}/"

    def submit(self, name, *more):
        words = [self.binaries / "evilmoe-ctl", "--endpoint", f"unix:{self.path}/c.sock", "--output", "json", "submit", RUN_FILE, "--name", name, "--detach", *more]
        run = json.loads(subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()[0])
        directory = pathlib.Path(run["directory"])
        directory.mkdir(parents=True, exist_ok=True)
        return run["run_id"], directory

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


class PrivateRun:
    """A nano run with a stack of its own, as a person starts it."""

    def __init__(self, binaries, steps):
        self.binaries = binaries
        self.folder = tempfile.TemporaryDirectory(prefix="page_")
        self.environment = {**os.environ, "EVILMOE_HOME": self.folder.name}
        answer = self.ctl("--output", "json", "submit", RUN_FILE, "--detach", "--set", f"steps={steps}", "--linger", "120")
        self.run = json.loads(answer.splitlines()[0])
        self.url = self.run["page"]

    def ctl(self, *words):
        done = subprocess.run([self.binaries / "evilmoe-ctl", *words], env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        directory = pathlib.Path(self.run["directory"])
        try:
            os.kill(json.loads((directory / "stack.json").read_text())["pid"], signal.SIGTERM)
            await_that("the stack ends", 60, lambda: json.loads((directory / "stack.json").read_text())["endpoint"] == "")
        except (FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(1)  # it removes its folders
        self.folder.cleanup()
