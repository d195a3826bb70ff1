"""Kinds that clusters add: the fields that our manifests use, as JSON schemas. Anything else is refused, so a field that
is new here has to be looked up and added. With the cluster's own definitions (--crds) those are used instead."""
import jsonschema

from deploy_checks import yaml_files

TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
LABELS = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITY = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+(m|[KMGTP]i?)?$"}]}
ANY_OBJECT = {"type": "object"}


def record(required, **properties):
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required.split()}


def array(items, least=1):
    return {"type": "array", "items": items, "minItems": least}


METADATA = record("name", name=TEXT, namespace=TEXT, labels=LABELS, annotations=LABELS)
SELECTOR = record("", matchLabels=LABELS, matchExpressions=array(ANY_OBJECT))

JOB_SET = record(
    "replicatedJobs",
    network=record("", enableDNSHostnames={"type": "boolean"}),
    failurePolicy=record("", maxRestarts=COUNT),
    suspend={"type": "boolean"},
    replicatedJobs=array(record("name template", name=TEXT, replicas=COUNT, template=record("spec", spec=ANY_OBJECT))))

RESOURCE_FLAVOR = record("", nodeLabels=LABELS, tolerations=array(ANY_OBJECT))

FLAVOR = record("name resources", name=TEXT, resources=array(record("name nominalQuota", name=TEXT, nominalQuota=QUANTITY)))
CLUSTER_QUEUE = record(
    "", namespaceSelector=SELECTOR, queueingStrategy={"enum": ["BestEffortFIFO", "StrictFIFO"]},
    resourceGroups=array(record("coveredResources flavors", coveredResources=array(TEXT), flavors=array(FLAVOR))),
    preemption=record("", withinClusterQueue={"enum": ["Never", "LowerPriority", "LowerOrNewerEqualPriority"]}))

SCALE_POLICY = record("", stabilizationWindowSeconds=COUNT,
                      policies=array(record("type value periodSeconds", type={"enum": ["Percent", "Pods"]}, value=COUNT,
                                            periodSeconds=COUNT)))
SCALED_OBJECT = record(
    "scaleTargetRef triggers", scaleTargetRef=record("name", name=TEXT), minReplicaCount=COUNT, maxReplicaCount=COUNT,
    pollingInterval=COUNT,
    advanced=record("", horizontalPodAutoscalerConfig=record(
        "", behavior=record("", scaleUp=SCALE_POLICY, scaleDown=SCALE_POLICY))),
    triggers=array(record("type metadata", type={"const": "prometheus"}, metricType={"enum": ["AverageValue", "Value"]},
                          metadata=record("serverAddress query threshold", serverAddress=TEXT, query=TEXT,
                                          threshold={"type": "string", "pattern": r"^[0-9.]+$"}))))

POD_MONITOR = record(
    "selector podMetricsEndpoints", selector=SELECTOR,
    podMetricsEndpoints=array(record("port", port=TEXT, interval={"type": "string", "pattern": r"^[0-9]+(ms|s|m)$"},
                                     honorLabels={"type": "boolean"},
                                     relabelings=array(record("", action=TEXT, sourceLabels=array(TEXT), regex=TEXT,
                                                              targetLabel=TEXT, replacement=TEXT)))))

RULE = record("expr", alert=TEXT, record=TEXT, expr=TEXT, labels=LABELS, annotations=LABELS,
              **{"for": {"type": "string", "pattern": r"^[0-9]+[smh]$"}})
PROMETHEUS_RULE = record("groups", groups=array(record("name rules", name=TEXT, rules=array(RULE))))

SPECS = {
    ("jobset.x-k8s.io/v1alpha2", "JobSet"): (JOB_SET, True),
    ("kueue.x-k8s.io/v1beta2", "ResourceFlavor"): (RESOURCE_FLAVOR, False),
    ("kueue.x-k8s.io/v1beta2", "ClusterQueue"): (CLUSTER_QUEUE, True),
    ("kueue.x-k8s.io/v1beta2", "LocalQueue"): (record("clusterQueue", clusterQueue=TEXT), True),
    ("keda.sh/v1alpha1", "ScaledObject"): (SCALED_OBJECT, True),
    ("monitoring.coreos.com/v1", "PodMonitor"): (POD_MONITOR, True),
    ("monitoring.coreos.com/v1", "PrometheusRule"): (PROMETHEUS_RULE, True),
}


def schema_of(api_version, kind):
    """Of a whole object of that kind; None: not known here."""
    if (api_version, kind) not in SPECS:
        return None
    spec, required = SPECS[api_version, kind]
    return record("apiVersion kind metadata" + (" spec" if required else ""), apiVersion={"const": api_version},
                  kind={"const": kind}, metadata=METADATA, spec=spec)


def _closed(schema):
    """A definition's schema with unknown fields refused, as the API server prunes them."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
        closed.pop("anyOf", None)
    open_object = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict) and not open_object:
        closed["additionalProperties"] = False
    return closed


def read_definitions(folder):
    """{(apiVersion, kind): schema} of the CustomResourceDefinitions in a folder's *.yaml."""
    schemas = {}
    for path in sorted(folder.glob("*.yaml")):
        for definition in yaml_files.documents(path.read_text()):
            if definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = _closed(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = METADATA
                schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def problems_of(document, schema):
    for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
        yield f"{'/'.join(map(str, error.absolute_path)) or 'object'}: {error.message[:200]}"
