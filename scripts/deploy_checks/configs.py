"""The processes' config files, each by the binary that reads it: `--config FILE --check`."""
import pathlib
import re
import shutil
import subprocess
import tempfile

from deploy_checks import cluster_rules, yaml_files

PROCESSES = ("coordinator", "grader", "rollout", "trainer")
CTL_FIELDS = {"endpoint", "token-file", "ca", "certificate", "key"}
# Folders of an image that a config names; here they lie in a scratch folder.
CONTAINER = re.compile(r"(?<![\w./])/(run/secrets|var/lib/evilmoe|opt/evilmoe)(?=/)")
FOLDERS = ("var/lib/evilmoe/coordinator", "var/lib/evilmoe/runs", "var/lib/evilmoe/adapters", "var/lib/evilmoe/inputs",
           "opt/evilmoe/examples", "opt/evilmoe/data")
SLURM_VALUES = {"PORT": "7431", "RANKS": "2", "THREADS": "4", "SLOTS": "4", "DEVICE": "cpu", "DRAIN_S": "120",
                "ENDPOINT": "node1:7431", "NAME": "rollout-1-0", "FOLDER": "/var/lib/evilmoe/run",
                "DATABASE": "/var/lib/evilmoe/coordinator/store.db", "RUNS": "/var/lib/evilmoe/runs",
                "ROOTS": "/var/lib/evilmoe/inputs", "SECRETS": "/run/secrets", "ADAPTERS": "/var/lib/evilmoe/adapters",
                "LOG": "/var/lib/evilmoe/process.log"}


def process_of(name):
    """coordinator of coordinator-postgres.yaml; None: no process' config."""
    return next((process for process in PROCESSES + ("ctl",) if name.startswith(process)), None)


def collect(root, rendered):
    """(where, process, text) of all config files, those of Kubernetes as the overlays render them."""
    for path in sorted((root / "deploy/compose/config").glob("*.yaml")):
        yield str(path.relative_to(root)), process_of(path.name), path.read_text()
    for path in sorted((root / "deploy/slurm/config").glob("*.yaml.in")):
        text = re.sub("@([A-Z_]+)@", lambda match: SLURM_VALUES[match[1]], path.read_text())
        yield str(path.relative_to(root)), process_of(path.name), text
    for name, objects in rendered.items():
        for map_name, file, text in cluster_rules.configs_of(objects):
            yield f"{name}: {map_name}", process_of(file), text
    if not rendered:
        for path in sorted((root / "deploy/kubernetes").rglob("*.yaml")):
            documents = [] if path.name == "kustomization.yaml" else yaml_files.documents(path.read_text())
            if documents and process_of(path.name) and "apiVersion" not in documents[0]:
                yield str(path.relative_to(root)), process_of(path.name), path.read_text()


def make_secrets(root, folder):
    """The files of scripts/make_certificates in `folder`; their names, or None where there is no such script."""
    script = root / "scripts/make_certificates"
    if not script.exists() or shutil.which("openssl") is None:
        return None
    subprocess.run([str(script), str(folder), "coordinator", "grader"], check=True, stderr=subprocess.DEVNULL, timeout=60)
    return {path.name for path in folder.iterdir()}


def at_home(text, scratch):
    """The config with its container's folders in `scratch`, every secret that it names in its place."""
    text = CONTAINER.sub(lambda match: f"{scratch}/{match[1]}", text)
    for place in re.findall(rf"{re.escape(str(scratch))}/run/secrets/[^\s,}}\]]+", text):
        source = scratch / "made" / pathlib.Path(place).name
        pathlib.Path(place).parent.mkdir(parents=True, exist_ok=True)
        if source.exists():
            shutil.copy(source, place)
    return text


def check(root, report, rendered, binaries):
    """Returns the names of the files that make_certificates makes, or None."""
    with tempfile.TemporaryDirectory(prefix="check_deploy") as scratch:
        scratch = pathlib.Path(scratch)
        for folder in FOLDERS:
            (scratch / folder).mkdir(parents=True)
        made = make_secrets(root, scratch / "made")
        seen = set()
        for where, process, text in collect(root, rendered):
            if (process, text) in seen:  # overlays share what they do not change
                continue
            seen.add((process, text))
            if process == "ctl":
                fields = set(yaml_files.documents(text)[0])
                report.expect(fields == CTL_FIELDS, where, f"has {sorted(fields)}, expected {sorted(CTL_FIELDS)}")
                continue
            binary = binaries / f"evilmoe-{process}"
            if not binary.exists():
                report.skip(f"configs of evilmoe-{process}", f"{binary.name} is not built in {binaries}")
                continue
            file = scratch / f"{process}.yaml"
            file.write_text(at_home(text, scratch))
            done = subprocess.run([str(binary), "--config", str(file), "--check"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=60)
            words = " | ".join(done.stdout.split("\n")).strip(" |").replace(str(scratch), "")
            report.expect(done.returncode == 0, where, f"exit code {done.returncode}: {words[:600]}")
            report.count("config files")
        return made
