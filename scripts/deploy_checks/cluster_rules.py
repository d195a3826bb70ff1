"""What must hold between the objects of one rendered overlay, and between them and the config files inside."""
import re

from deploy_checks import yaml_files

COMPONENT = "app.kubernetes.io/component"
# Secrets that an operator makes; deploy/kubernetes/README.md has the commands. Each with its files.
SECRETS = {
    "evilmoe-server-tls": {"ca.pem", "server.pem", "server.key"},
    "evilmoe-client-tls": {"ca.pem", "client.pem", "client.key"},
    "evilmoe-tokens": {"tokens.yaml"},
    "evilmoe-worker-token": {"worker.token"},
    "evilmoe-submit-token": {"submit.token"},
    "evilmoe-postgres": {"password"},
}
# Seconds that a config promises to need between SIGTERM and the end.
DRAIN_FIELDS = ("drain_s", "stop_grace_s")
SPARE_SECONDS = 5


def quantity(text):
    """Kubernetes' 512Mi, 1.5, 100m, ... as a number."""
    match = re.fullmatch(r"([0-9.]+)(m|k|[MGT]|[KMGT]i)?", str(text))
    if match is None:
        raise ValueError(f"quantity: got {text}, expected a number with m, k, M, G, T, Ki, Mi, Gi, Ti or nothing")
    scale = {None: 1, "m": 0.001}
    for power, letter in enumerate("kMGT", 1):
        scale[letter], scale[letter.upper() + "i"] = 1000.0**power, 1024.0**power
    return float(match[1]) * scale[match[2]]


class Pods:
    """A workload's pod template. `server`: it runs until it is stopped."""

    def __init__(self, owner, template, server):
        self.owner, self.spec, self.server = owner, template["spec"], server
        self.labels = template["metadata"]["labels"]
        self.containers = self.spec["containers"]


def pods_of(objects):
    for document in objects:
        kind, spec = document["kind"], document.get("spec", {})
        where = f"{kind} {document['metadata']['name']}"
        if kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield Pods(where, spec["template"], kind != "Job")
        if kind == "JobSet":
            for job in spec["replicatedJobs"]:
                yield Pods(where, job["template"]["spec"]["template"], True)


def selects(selector, labels):
    """A LabelSelector; an empty one selects all."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        inside = labels.get(rule["key"]) in rule.get("values", [])
        holds = {"In": inside, "NotIn": not inside, "Exists": rule["key"] in labels,
                 "DoesNotExist": rule["key"] not in labels}[rule["operator"]]
        if not holds:
            return False
    return True


def check_hardening(pods, expect):
    security = pods.spec.get("securityContext", {})
    expect(security.get("runAsNonRoot") and security.get("runAsUser"), "runs as root, expected runAsNonRoot and runAsUser")
    expect(security.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"), "no seccomp profile")
    expect(pods.spec.get("automountServiceAccountToken") is False, "gets a token of the API server")
    expect(not pods.server or "terminationGracePeriodSeconds" in pods.spec, "no terminationGracePeriodSeconds")
    for container in pods.containers:
        own = container.get("securityContext", {})
        expect(own.get("readOnlyRootFilesystem") is True, f"{container['name']}: its root file system is writable")
        expect(own.get("allowPrivilegeEscalation") is False, f"{container['name']}: may gain privileges")
        expect("ALL" in own.get("capabilities", {}).get("drop", []), f"{container['name']}: keeps capabilities")
        expect(":" in container["image"], f"{container['name']}: image {container['image']} has no tag; name it in the overlay")
        resources = container.get("resources", {})
        expect({"cpu", "memory"} <= set(resources.get("requests", {})), f"{container['name']}: requests no cpu and memory")
        expect("memory" in resources.get("limits", {}), f"{container['name']}: no limit of memory")
        expect(not pods.server or "livenessProbe" in container, f"{container['name']}: no livenessProbe")


def check_room(pods, expect):
    """Volumes in memory and on the node's disk count against the pod's limits."""
    limits = pods.containers[0].get("resources", {}).get("limits", {})
    sizes = {"memory": 0, "ephemeral-storage": 0}
    for volume in pods.spec.get("volumes", []):
        if "emptyDir" not in volume:
            continue
        size = volume["emptyDir"].get("sizeLimit")
        expect(size is not None, f"volume {volume['name']}: no sizeLimit")
        sizes["memory" if volume["emptyDir"].get("medium") == "Memory" else "ephemeral-storage"] += quantity(size or 0)
    for kind, size in sizes.items():
        expect(size == 0 or (kind in limits and size <= quantity(limits[kind])),
               f"its volumes may take {size:.0f} bytes of {kind}, expected at most its limit, {limits.get(kind)}")


def check_references(pods, objects, expect):
    names = {(document["kind"], document["metadata"]["name"]) for document in objects}
    mounts = {mount["name"] for container in pods.containers for mount in container.get("volumeMounts", [])}
    volumes = {volume["name"] for volume in pods.spec.get("volumes", [])}
    for document in objects:
        if f"{document['kind']} {document['metadata']['name']}" == pods.owner:
            volumes |= {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
    expect(mounts <= volumes, f"mounts {sorted(mounts - volumes)}, expected volumes of the pod")
    expect(volumes <= mounts, f"volumes {sorted(volumes - mounts)} are mounted nowhere")
    for volume in pods.spec.get("volumes", []):
        for kind, key, field in (("ConfigMap", "configMap", "name"), ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName")):
            name = volume.get(key, {}).get(field)
            expect(name is None or (kind, name) in names, f"volume {volume['name']}: no {kind} {name}")
        secret = volume.get("secret", {}).get("secretName")
        expect(secret is None or secret in SECRETS, f"volume {volume['name']}: Secret {secret} is none of {sorted(SECRETS)}")
    account = pods.spec.get("serviceAccountName")
    expect(account is None or ("ServiceAccount", account) in names, f"no ServiceAccount {account}")


def check_selectors(objects, pods, report, name):
    """Services, budgets and policies mean pods that exist."""
    for document in objects:
        kind, spec = document["kind"], document.get("spec", {})
        where = f"{name}: {kind} {document['metadata']['name']}"
        if kind == "Service":
            meant = [p for p in pods if selects({"matchLabels": spec["selector"]}, p.labels)]
            report.expect(meant, where, f"selects no pod: {spec['selector']}")
            for port in spec["ports"]:
                ports = {p["name"] for m in meant for c in m.containers for p in c.get("ports", [])}
                report.expect(port["targetPort"] in ports, where, f"targetPort {port['targetPort']} is none of {sorted(ports)}")
        if kind in ("PodDisruptionBudget", "PodMonitor"):
            report.expect(any(selects(spec["selector"], p.labels) for p in pods), where, "selects no pod")
        if kind == "ScaledObject":
            target = spec["scaleTargetRef"]["name"]
            report.expect(any(p.owner == f"Deployment {target}" for p in pods), where, f"no Deployment {target}")


def policies_for(objects, pods, direction):
    return [document["spec"] for document in objects if document["kind"] == "NetworkPolicy"
            and selects(document["spec"]["podSelector"], pods.labels) and direction in document["spec"]["policyTypes"]]


def check_network(objects, pods, report, name):
    """Every pod is denied by default; a grader reaches nothing, and only rollout workers and Prometheus reach it."""
    for one in pods:
        for direction in ("Ingress", "Egress"):
            report.expect(policies_for(objects, one, direction), f"{name}: {one.owner}", f"no NetworkPolicy on its {direction}")
        if one.labels.get(COMPONENT) != "grader":
            continue
        where = f"{name}: {one.owner}"
        ways_out = [rule for policy in policies_for(objects, one, "Egress") for rule in policy.get("egress") or []]
        report.expect(not ways_out, where, f"may dial {ways_out}, expected nobody")
        for policy in policies_for(objects, one, "Ingress"):
            for rule in policy.get("ingress") or []:
                report.expect(rule.get("from") and rule.get("ports"), where, "a rule lets in everybody, or at every port")
                ports = {port["port"] for port in rule.get("ports", [])}
                for peer in rule.get("from", []):
                    callers = [p for p in pods if "podSelector" in peer and selects(peer["podSelector"], p.labels)]
                    fine = ports == {9464} if "namespaceSelector" in peer else {p.labels[COMPONENT] for p in callers} == {"rollout"}
                    report.expect(fine, where, f"is reached by {peer} at {sorted(ports)}")


def port_of(address):
    """Of "host:port"; None: a Unix socket, or nothing."""
    return int(address.rpartition(":")[2]) if address and not address.startswith("unix:") else None


def strings_in(value):
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings_in(part)


def check_config(config, pods, expect):
    """A process' config against the pod that runs it."""
    container = pods.containers[0]
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    listens = config.get("listen")
    for address in listens if isinstance(listens, list) else filter(None, [listens]):
        expect(port_of(address) in (None, ports.get("grpc")), f"listens at {address}, expected port grpc, {ports.get('grpc')}")
    expect(port_of(config.get("metrics_listen")) == ports.get("metrics"), "metrics_listen is not at the port metrics")
    grace = pods.spec.get("terminationGracePeriodSeconds", 30)
    for field in DRAIN_FIELDS:
        expect(config.get(field, 0) + SPARE_SECONDS <= grace, f"{field} {config.get(field)} does not fit into "
               f"terminationGracePeriodSeconds {grace}, expected {SPARE_SECONDS} s more at least")
    if config.get("device") == "cuda":
        devices = int(container["resources"]["limits"].get("nvidia.com/gpu", 0))
        expect(devices == config.get("ranks"), f"{config.get('ranks')} ranks on {devices} GPUs, expected one each")
    mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
    secrets = {volume["name"]: SECRETS.get(volume["secret"]["secretName"], set())
               for volume in pods.spec.get("volumes", []) if "secret" in volume}
    for path in (text for text in strings_in(config) if text.startswith("/")):
        if path.startswith("/opt/evilmoe/"):
            continue  # part of the image
        mount = next((m for point, m in mounts.items() if path == point or path.startswith(point + "/")), None)
        if expect(mount, f"{path}: nothing is mounted there") and mount["name"] in secrets:
            file = path.rpartition("/")[2]
            expect(file in secrets[mount["name"]], f"{path}: its Secret has {sorted(secrets[mount['name']])}")


def configs_of(objects):
    """(process, text) of every config file in a ConfigMap, as coordinator of coordinator.yaml."""
    for document in objects:
        if document["kind"] == "ConfigMap":
            for file, text in document["data"].items():
                yield document["metadata"]["name"], file.removesuffix(".yaml"), text


def check_alerts(objects, root, report, name):
    for document in objects:
        if document["kind"] == "PrometheusRule":
            shipped = [group for file in ("rules.yml", "alerts.yml")
                       for group in yaml_files.documents((root / "deploy/prometheus" / file).read_text())[0]["groups"]]
            report.expect(document["spec"] == {"groups": shipped}, f"{name}: PrometheusRule",
                          "differs from deploy/prometheus/rules.yml and alerts.yml; run scripts/kubernetes_rules")


def check(name, objects, report, root):
    pods = list(pods_of(objects))
    report.expect(pods, name, "has no pod")
    for one in pods:
        def expect(condition, text, where=f"{name}: {one.owner}"):
            return report.expect(condition, where, text)
        check_hardening(one, expect)
        check_room(one, expect)
        check_references(one, objects, expect)
    check_selectors(objects, pods, report, name)
    check_network(objects, pods, report, name)
    check_alerts(objects, root, report, name)
    for map_name, process, text in configs_of(objects):
        users = [p for p in pods if any(v.get("configMap", {}).get("name") == map_name for v in p.spec["volumes"])]
        report.expect(len(users) == 1, f"{name}: ConfigMap {map_name}", f"is read by {len(users)} workloads, expected one")
        for one in users if process != "ctl" else []:
            def expect(condition, text, where=f"{name}: {one.owner}: {process}.yaml"):
                return report.expect(condition, where, text)
            check_config(yaml_files.documents(text)[0], one, expect)
