"""deploy/kubernetes: every object against its kind's schema, and each overlay as kustomize renders it."""
import json
import os
import pathlib
import re
import subprocess
import tempfile

from deploy_checks import cluster_rules, custom_resources, yaml_files
from deploy_checks.report import has_module, tool

# The oldest that the manifests are meant for, and the newest that the validator knows.
OLDEST = "1.33"
IMAGES = ("coordinator", "grader", "rollout", "trainer", "ctl")
# Not part of what a cluster runs: kustomize's own files, and files that it puts into others.
PARTS_ONLY = ("kustomization.yaml", "jobset_names.yaml")


def kustomize_command():
    if tool("kustomize"):
        return [tool("kustomize"), "build"]
    return [tool("kubectl"), "kustomize"] if tool("kubectl") else None


def is_object(document):
    return isinstance(document, dict) and "apiVersion" in document and "kind" in document


class Schemas:
    """Says what is wrong with an object: Kubernetes' kinds by kubernetes-validate, added ones by custom_resources."""

    def __init__(self, report, definitions_folder):
        self.report = report
        self.built_in = has_module("kubernetes_validate")
        if not self.built_in:
            report.skip("schemas of Kubernetes' kinds", "no Python module kubernetes_validate")
        self.seen = set()  # most objects are the same in every overlay
        self.definitions = custom_resources.read_definitions(definitions_folder) if definitions_folder else {}

    def check(self, where, document):
        text = json.dumps(document, sort_keys=True, default=str)
        if text in self.seen:
            return
        self.seen.add(text)
        api_version, kind = document["apiVersion"], document["kind"]
        where = f"{where}: {kind} {document.get('metadata', {}).get('name', '?')}"
        schema = self.definitions.get((api_version, kind)) or custom_resources.schema_of(api_version, kind)
        if schema is not None:
            for problem in custom_resources.problems_of(document, schema):
                self.report.problem(where, problem)
            for job in document["spec"].get("replicatedJobs", []) if kind == "JobSet" else []:
                self._check_built_in(where, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job["name"]},
                                             "spec": job["template"]["spec"]})
        else:
            self._check_built_in(where, document)
        self.report.count("Kubernetes objects")

    def _check_built_in(self, where, document):
        if not self.built_in:
            return
        import kubernetes_validate
        for version in (OLDEST, kubernetes_validate.latest_version()):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = "/".join(str(part) for part in error.path)
                self.report.problem(where, f"Kubernetes {version}: {path}: {error.message[:300]}")
            except kubernetes_validate.SchemaNotFoundError:
                self.report.problem(where, f"{document['apiVersion']}: no such kind in Kubernetes {version}, and no schema "
                                           "in scripts/deploy_checks/custom_resources.py")


def render(command, folder):
    """The objects of a kustomize folder. ValueError: kustomize's own words."""
    done = subprocess.run(command + [str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip()[:500])
    return yaml_files.documents(done.stdout)


def check_sources(root, report, schemas):
    """Every file on its own: objects by schema, kustomizations by what they name."""
    for path in sorted((root / "deploy/kubernetes").rglob("*.yaml")):
        documents = yaml_files.load(path, report, root)
        where = path.relative_to(root)
        if path.name == "kustomization.yaml":
            for document in documents:
                check_kustomization(path, document, report, where)
        elif path.name not in PARTS_ONLY:
            for document in filter(is_object, documents):
                schemas.check(where, document)


def check_kustomization(path, document, report, where):
    named = document.get("resources", []) + document.get("components", []) + document.get("configurations", [])
    named += [patch["path"] for patch in document.get("patches", []) if "path" in patch]
    for generator in document.get("configMapGenerator", []):
        named += [entry.split("=", 1)[-1] for entry in generator["files"]]
    for name in named:
        report.expect((path.parent / name).exists(), where, f"{name}: no such file or folder")


def render_component(command, component):
    """Base and one component, in a throw-away overlay."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch).resolve()
        base, component = (os.path.relpath(path, scratch) for path in (component.parents[1] / "base", component))
        images = [{"name": f"evilmoe/{name}", "newTag": "checked"} for name in IMAGES]
        (scratch / "kustomization.yaml").write_text(json.dumps(
            {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": "evilmoe",
             "resources": [base], "components": [component], "images": images}))
        return render(command, scratch)


def check_secrets(root, report):
    """What make_secrets makes is what the manifests may mount; PostgreSQL's password is the operator's own."""
    script = root / "deploy/kubernetes/make_secrets"
    made = {name: set(files.split()) for name, files in re.findall(r"^secret (\S+) (.*)$", script.read_text(), re.M)}
    expected = {name: files for name, files in cluster_rules.SECRETS.items() if name != "evilmoe-postgres"}
    report.expect(made == expected, script.relative_to(root), f"makes {made}, expected {expected}")


def check(root, report, definitions_folder):
    """Returns {name of what was rendered: its objects}; empty without kustomize."""
    schemas = Schemas(report, definitions_folder)
    check_sources(root, report, schemas)
    check_secrets(root, report)
    command = kustomize_command()
    if command is None:
        report.skip("overlays as rendered", "neither kustomize nor kubectl")
        return {}
    rendered = {}
    folders = {f"{kind} {folder.name}": folder for kind in ("overlay", "component")
               for folder in sorted((root / f"deploy/kubernetes/{kind}s").iterdir())}
    for name, folder in folders.items():
        try:
            alone = name.startswith("overlay")
            rendered[name] = render(command, folder) if alone else render_component(command, folder)
        except ValueError as error:
            report.problem(name, f"kustomize: {error}")
    for name, objects in rendered.items():
        for document in objects:
            schemas.check(name, document)
        cluster_rules.check(name, objects, report, root)
    return rendered
