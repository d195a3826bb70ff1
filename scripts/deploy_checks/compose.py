"""deploy/compose: each file against the Compose specification's schema, then base and overrides as one."""
import importlib.resources
import json
import re

from deploy_checks import yaml_files
from deploy_checks.report import has_module

BASE = "compose.yaml"
# Images of others, which need a writable root file system.
WRITABLE = ("grafana", "postgres")
# Files of secrets/ that deploy/compose/prepare itself writes, beside those of scripts/make_certificates.
PREPARED = {"grafana-password", "postgres-password", "pgpass"}


def schema():
    """Compose's own, as check-jsonschema ships it; None: that is not installed."""
    if not (has_module("check_jsonschema") and has_module("jsonschema")):
        return None
    file = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    return json.loads(file.read_text())


def mount(volume):
    """(source, target) of SOURCE:TARGET[:MODE]; of a variable with a default, the default."""
    return tuple(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[:2])


def merged(base, over, key=None):
    """As `docker compose -f a -f b` does it: mappings by key, lists one behind the other, volumes by their target."""
    if isinstance(base, dict) and isinstance(over, dict):
        result = dict(base)
        for name, value in over.items():
            result[name] = merged(base[name], value, name) if name in base else value
        return result
    if isinstance(base, list) and isinstance(over, list):
        replaced = {mount(volume)[1] for volume in over} if key == "volumes" else set()
        return [entry for entry in base if not (replaced and mount(entry)[1] in replaced)] + over
    return over


def seconds(text):
    match = re.fullmatch(r"([0-9]+)(s|m)", str(text))
    return int(match[1]) * {"s": 1, "m": 60}[match[2]]


def mount_points(service):
    """Where something is mounted: volumes, in the short form, and tmpfs."""
    for volume in service.get("volumes", []):
        yield mount(volume)[1]
    for folder in service.get("tmpfs", []):
        yield folder.split(":")[0]


def check_hardening(name, service, expect):
    expect(service.get("cap_drop") == ["ALL"], "keeps capabilities, expected cap_drop: [ALL]")
    expect("no-new-privileges:true" in service.get("security_opt", []), "may gain privileges, expected no-new-privileges")
    expect(service.get("read_only") is True or name in WRITABLE, "its root file system is writable")
    expect(not service.get("privileged") and service.get("user"), "no user, or privileged")
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    expect("memory" in limits or service.get("profiles"), "no limit of memory")
    for port in service.get("ports", []):
        expect(port.startswith("${EVILMOE_BIND:-127.0.0.1}:"), f"publishes {port} to every network, expected EVILMOE_BIND")


def check_references(project, service, folder, root, expect):
    for kind in ("secrets", "networks"):
        names = service.get(kind, [])
        expect(len(names) == len(set(names)), f"{kind} stand twice: {names}")
        for name in names:
            expect(name in project.get(kind, {}), f"{kind}: {name} is not declared")
    for other in service.get("depends_on", []):
        expect(other in project["services"], f"depends on {other}, which is no service")
    for volume in service.get("volumes", []):
        source = mount(volume)[0]
        expect(source.startswith("./state/") or (folder / source).exists(), f"{source}: no such file or folder")
    for option in service.get("security_opt", []):
        if option.startswith("seccomp="):
            expect((folder / option.split("=", 1)[1]).exists(), f"{option}: no such file")
    if "build" in service:
        stages = re.findall(r"^FROM \S+ AS (\S+)$", (root / "docker/Dockerfile").read_text(), re.M)
        expect(service["build"]["target"] in stages, f"builds {service['build']['target']}, which docker/Dockerfile lacks")


def check_config(service, folder, expect):
    """A process' config file against the service that mounts it."""
    for source, target in map(mount, service.get("volumes", [])):
        if not target.startswith("/etc/evilmoe/"):
            continue
        text = (folder / source).read_text()
        config = yaml_files.documents(text)[0]
        grace = seconds(service["stop_grace_period"])
        for field in ("drain_s", "stop_grace_s"):
            expect(config.get(field, 0) + 5 <= grace, f"{field} {config.get(field)} does not fit into stop_grace_period {grace} s")
        points = list(mount_points(service))
        for path in re.findall(r"/(?:run|var)/[^\s,}\]\"]*", text):
            secret = path.startswith("/run/secrets/")
            known = path.rpartition("/")[2] in service.get("secrets", []) if secret else any(
                path == point or path.startswith(point + "/") for point in points)
            expect(known, f"{path}: nothing is mounted there")


def check_project(name, project, folder, root, report, made):
    for service_name, service in project["services"].items():
        def expect(condition, text, where=f"{name}: {service_name}"):
            return report.expect(condition, where, text)
        check_hardening(service_name, service, expect)
        check_references(project, service, folder, root, expect)
        check_config(service, folder, expect)
        report.count("compose services")
    networks = project["services"]["grader"]["networks"]
    report.expect(all(project["networks"][network].get("internal") for network in networks), f"{name}: grader",
                  f"is on {networks}, expected networks with internal: true alone")
    for secret, source in project["secrets"].items():
        file = source["file"].removeprefix("./secrets/")
        report.expect(made is None or file in made | PREPARED, name, f"secret {secret}: nothing makes secrets/{file}")


def check(root, report, made):
    """`made`: the names of the files that scripts/make_certificates makes, or None."""
    folder = root / "deploy/compose"
    specification = schema()
    if specification is None:
        report.skip("Compose's schema", "no Python modules check_jsonschema and jsonschema")
    projects = {}
    for path in [folder / BASE] + sorted(folder.glob("compose.*.yaml")):
        documents = yaml_files.load(path, report, root)
        if not documents:
            continue
        projects[path.name] = documents[0] if path.name == BASE else merged(projects[BASE], documents[0])
        if specification is not None:
            import jsonschema
            for error in jsonschema.Draft7Validator(specification).iter_errors(documents[0]):
                report.problem(path.relative_to(root), f"{'/'.join(map(str, error.path))}: {error.message[:300]}")
            report.count("compose files")
    for name, project in projects.items():
        check_project(name, project, folder, root, report, made)
