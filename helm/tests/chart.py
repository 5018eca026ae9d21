"""What every rendering of the chart is held against.

Each rendering goes through two major versions of helm, the schemas of three versions of Kubernetes, rules of our own
(nothing runs as root, nothing is reachable beside the proxy), and `toolgate check`, which reads the settings, policies
and grants that the pods would get.
"""

import base64
import functools
import itertools
import json
import os
import pathlib
import subprocess
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "toolgate"
TOOLS = ROOT / ".tools" / "kube"
KUBERNETES = ("1.30.0", "1.33.0", "1.37.0")
# Kinds of other projects, of which the schemas know nothing.
FOREIGN = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}

POLICY = {"version": "1", "default": "deny", "tools": {"list_runs": {}}}
MANY = {
    "servers": {
        "coalesce": {
            "upstream": "http://coalesce.{{ .Release.Namespace }}.svc:3000/mcp",
            "headers": {"Authorization": {"env": "COALESCE_TOKEN"}},
        },
        "billing": {"upstream": "http://billing.data.svc:3000/mcp"},
    },
    "policies": {"coalesce-default": POLICY, "billing": "version: '1'\ndefault: deny\n"},
    "extraEnv": [{"name": "COALESCE_TOKEN", "value": "for-the-test"}],
}
OWN_SIDECAR = {
    "servers": {"reports": {}},
    "policies": {"reports": POLICY},
    "sidecar": {"image": "reports:1", "port": 3100, "args": ["--listen", "127.0.0.1:3100"]},
}
ENTRY = {"id": "ci", "token_sha256": "ab" * 32}

# Every option has a first choice, the chart's own default.
OPTIONS = {
    "servers": [{}, {"mode": "sidecar"}, MANY, {"mode": "sidecar", **OWN_SIDECAR}, {"mode": "include", **MANY}],
    "store": [
        {},
        {"replicas": 3, "redis": {"url": "redis://redis.data.svc:6379"}, "audit": {"redisStream": {"name": "audit"}, "overflow": "drop"}},
        {"replicas": 3, "redis": {"existingSecret": "redis-url"}},
        {"replicas": 3, "redis": {"bundled": {"enabled": True}}},
        {"autoscaling": {"enabled": True}, "redis": {"url": "rediss://redis.data.svc:6380"}, "audit": {"stdout": False, "redisStream": {"name": "audit"}}},
    ],
    "grants": [{}, {"grants": {"existingSecret": "grants"}}, {"grants": {"entries": [ENTRY]}}],
    "metrics": [
        {},
        {"metrics": {"podMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}},
        {"metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True, "runbooks": "https://docs.example/runbooks"}}},
    ],
    "network": [
        {},
        {"networkPolicy": {"enabled": False}},
        {"networkPolicy": {"from": [{"podSelector": {}}], "adminFrom": [{"namespaceSelector": {}}], "egress": [{"to": [{"podSelector": {}}]}]}},
    ],
    "outside": [{}, {"ingress": {"enabled": True, "hosts": ["gate.example"], "tls": [{"hosts": ["gate.example"], "secretName": "tls"}]}}],
    "rest": [
        {},
        {
            "test": {"tokenSecret": "token"},
            "sessionKey": {"existingSecret": "session"},
            "image": {"digest": "sha256:" + "0" * 64},
            "imagePullSecrets": [{"name": "pull"}],
            "podLabels": {"team": "data"},
            "podAnnotations": {"note": "x"},
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"operator": "Exists"}],
            "priorityClassName": "high",
            "settings": {"limits": {"connections": 500}, "public_url": "https://gate.example"},
            "audit": {"file": {"enabled": True, "rotateBytes": 0}, "onError": "continue"},
            "extraVolumes": [{"name": "extra", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
            "serviceAccount": {"annotations": {"a": "b"}},
            "service": {"port": 8000, "annotations": {"a": "b"}},
        },
    ],
}


def merged(parts):
    """Values with the parts laid over each other."""
    out = {}
    for part in parts:
        for key, value in part.items():
            both = isinstance(value, dict) and isinstance(out.get(key), dict)
            out[key] = {**out[key], **value} if both else value
    if out.get("grants", {}).get("entries"):
        first = lambda key, default: next(iter(out.get(key, {})), default)
        entry = {**ENTRY, "server": first("servers", "example"), "policy": first("policies", "start-run")}
        out["grants"] = {"entries": [entry]}
    return out


def every_combination():
    """The whole product of the options."""
    return [merged(parts) for parts in itertools.product(*OPTIONS.values())]


def every_pair():
    """Few combinations in which each choice of an option meets each choice of every other (greedy pairwise cover)."""
    sizes = [range(len(choices)) for choices in OPTIONS.values()]
    axes = list(itertools.combinations(range(len(sizes)), 2))
    pairs_of = lambda row: {(a, row[a], b, row[b]) for a, b in axes}
    rows = list(itertools.product(*sizes))
    missing = set().union(*(pairs_of(row) for row in rows))
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(pairs_of(row) & missing))
        missing -= pairs_of(best)
        chosen.append(best)
    choices = list(OPTIONS.values())
    return [merged(choices[axis][at] for axis, at in enumerate(row)) for row in chosen]


def helm(version, *arguments, values=None, check=True):
    """Runs helm 3 or 4; values go in as a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        if values is not None:
            json.dump(values, file)
            file.flush()
            arguments = (*arguments, "--values", file.name)
        home = {"HELM_CACHE_HOME": "/tmp/helm-cache", "HELM_CONFIG_HOME": "/tmp/helm-config", "HELM_DATA_HOME": "/tmp/helm-data"}
        done = subprocess.run([TOOLS / f"helm{version}", *arguments], capture_output=True, text=True, env=os.environ | home)
    if check and done.returncode != 0:
        raise AssertionError(f"helm{version} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done


def render(values, version=4, chart=CHART):
    """The documents of one rendering, as text and read."""
    text = helm(version, "template", "release", chart, "--namespace", "data", values=values).stdout
    return text, [document for document in yaml.safe_load_all(text) if document]


def problems_of(values):
    """Everything that is wrong with the rendering of these values."""
    text, documents = render(values)
    by_name = lambda documents: sorted(json.dumps(document, sort_keys=True) for document in documents)
    problems = []
    if by_name(render(values, version=3)[1]) != by_name(documents):
        problems.append("helm 3 and helm 4 render it differently")
    seen = [(document["kind"], document["metadata"]["name"]) for document in documents]
    problems += [f"{name} is rendered twice" for name in set(seen) if seen.count(name) > 1]
    for document in documents:
        problems += schema_problems(json.dumps(document, sort_keys=True))
    for pod in map(pod_of, documents):
        problems += pod_problems(pod) if pod else []
    problems += reach_problems(values, documents)
    problems += settings_problems(documents)
    return problems


@functools.cache
def schema_problems(text):
    document = json.loads(text)
    if document["kind"] in FOREIGN:
        return []
    problems = []
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except Exception as error:  # the library has several, without a common base
            problems.append(f"Kubernetes {version}: {document['kind']}: {error}")
    return problems


def pod_of(document):
    if document["kind"] == "Pod":
        return document["spec"]
    return document["spec"]["template"]["spec"] if document["kind"] == "Deployment" else None


def pod_problems(pod):
    """The restricted Pod Security Standard, and what is ours beside it."""
    problems = []
    if pod.get("automountServiceAccountToken") is not False:
        problems.append("a pod gets a token for the API server")
    of_pod = pod.get("securityContext", {})
    if of_pod.get("runAsNonRoot") is not True or of_pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        problems.append("a pod may run as root, or without seccomp")
    containers = pod.get("initContainers", []) + pod["containers"]
    for container in containers:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
            problems.append(f"{container['name']} keeps capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            problems.append(f"{container['name']} may write to its root")
    gates = [container for container in containers if container["name"] == "toolgate"]
    others = [container for container in pod["containers"] if container["name"] != "toolgate"]
    if gates and others:
        if gates[0].get("restartPolicy") != "Always" or "startupProbe" not in gates[0]:
            problems.append("the gate is no native sidecar")
        problems += [f"{c['name']} can be reached beside the gate" for c in others if c.get("ports")]
    return problems


def reach_problems(values, documents):
    """Only the proxy is reachable, and the admin port from where it was said."""
    gate = {"app.kubernetes.io/component": "gate"}
    if values.get("mode") == "include" or values.get("networkPolicy", {}).get("enabled") is False:
        return []
    selects = lambda policy, labels: labels.items() <= policy["spec"]["podSelector"]["matchLabels"].items()
    policies = [document for document in documents if document["kind"] == "NetworkPolicy"]
    problems = []
    for rule in (rule for policy in policies if selects(policy, gate) for rule in policy["spec"]["ingress"]):
        ports = [port["port"] for port in rule["ports"]]
        if ports != [8080] and not (ports == [9090] and rule.get("from")):
            problems.append(f"the gate is open on {ports}")
    for component in ("example-server", "redis"):
        labels = {"app.kubernetes.io/component": component}
        there = any(pod_labels(document).get("app.kubernetes.io/component") == component for document in documents)
        own = [policy for policy in policies if selects(policy, labels)]
        if there and not all(rule.get("from") for policy in own for rule in policy["spec"]["ingress"]) or there and not own:
            problems.append(f"{component} can be reached by others than the gate")
    return problems


def pod_labels(document):
    return document["spec"]["template"]["metadata"]["labels"] if document["kind"] == "Deployment" else {}


def settings_problems(documents):
    """What the gate's own check says of the files that its pods would have."""
    kind = lambda kind, end: next((d for d in documents if d["kind"] == kind and d["metadata"]["name"].endswith(end)), None)
    files = {}
    files.update(kind("ConfigMap", "-settings")["data"])
    for key, text in kind("ConfigMap", "-policies")["data"].items():
        files[f"policies/{key}"] = text
    grants = kind("Secret", "-grants")
    if grants:
        decoded = {key: base64.b64decode(text).decode() for key, text in grants.get("data", {}).items()}
        files.update(grants.get("stringData", decoded))
    elif "grants: grants.yaml" in files["toolgate.yaml"]:
        files["grants.yaml"] = "grants: []\n"
    pods = [pod for pod in map(pod_of, documents) if pod]
    gates = [c for pod in pods for c in pod.get("initContainers", []) + pod["containers"] if c["name"] == "toolgate"]
    environment = {variable["name"]: str(variable.get("value", "from-a-secret")) for variable in (gates[0]["env"] if gates else [])}
    for name, value in environment.items():
        environment[name] = value.replace("$(POD_IP)", "10.0.0.7")
    if environment.get("TOOLGATE__COUNTERS__URL") == "from-a-secret":
        environment["TOOLGATE__COUNTERS__URL"] = "redis://from-a-secret:6379"
    if not gates:  # mode include: another chart has the container
        environment = {"COALESCE_TOKEN": "for-the-test", "TOOLGATE__COUNTERS__URL": "redis://redis:6379"}
        if "store: redis" not in files["toolgate.yaml"]:
            del environment["TOOLGATE__COUNTERS__URL"]
    return checked(json.dumps(files, sort_keys=True), json.dumps(environment, sort_keys=True))


@functools.cache
def checked(files, environment):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in json.loads(files).items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        command = [toolgate(), "check", "--config", pathlib.Path(folder, "toolgate.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, env=json.loads(environment))
    return [] if done.returncode == 0 else [f"toolgate check: {(done.stdout + done.stderr).strip()}"]


def toolgate():
    return os.environ.get("TOOLGATE", ROOT / "target" / "debug" / "toolgate")

