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
APPROVER = {"id": "lead", "role": "approver", "token_sha256": "cd" * 32}
# A policy that asks people cannot be loaded without a key where the store is shared.
ASKS = {"asks": {"version": "1", "default": "deny", "tools": {"start_run": {"action": "require_approval"}}}}
SEALED = {"key": {"existingSecret": "approvals-key"}}
# By `kubectl port-forward`, and by an Ingress.
FORWARDED = {"console": {"enabled": True, "approvers": {"existingSecret": "approvers"}}, "approvals": SEALED, "policies": ASKS}
PUBLISHED = {
    "console": {
        "enabled": True,
        "url": "https://approvals.example",
        "approvers": {"entries": [APPROVER]},
        "service": {"enabled": True},
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "ingress": {"enabled": True, "tls": [{"hosts": ["approvals.example"], "secretName": "tls"}]},
    },
    "approvals": SEALED,
    "policies": ASKS,
}
OUTSIDE = {"ingress": {"enabled": True, "hosts": ["gate.example"], "tls": [{"hosts": ["gate.example"], "secretName": "tls"}]}}
# Stands for whatever a Secret of the user's holds.
FROM_A_SECRET = "from-a-secret-of-the-users"

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
    "outside": [{}, OUTSIDE, {**OUTSIDE, **PUBLISHED}],
    "rest": [
        {},
        {
            **FORWARDED,
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
    problems += console_problems(values, documents)
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
        if ports != [8080] and not (ports in ([9090], [9091]) and rule.get("from")):
            problems.append(f"the gate is open on {ports}")
    for component in ("example-server", "redis"):
        labels = {"app.kubernetes.io/component": component}
        there = any(pod_labels(document).get("app.kubernetes.io/component") == component for document in documents)
        own = [policy for policy in policies if selects(policy, labels)]
        if there and not all(rule.get("from") for policy in own for rule in policy["spec"]["ingress"]) or there and not own:
            problems.append(f"{component} can be reached by others than the gate")
    return problems


def console_problems(values, documents):
    """People reach the console where that was said, by a way that agents do not take, and it knows the names that lead to it."""
    console = values.get("console", {})
    settings = yaml.safe_load(named(documents, "ConfigMap", "-settings")["data"]["toolgate.yaml"])
    if not console.get("enabled"):
        return ["a console that nobody asked for"] if "console" in settings else []
    service, ingress = (named(documents, kind, "-console") for kind in ("Service", "Ingress"))
    published = console.get("service", {}).get("enabled", False)
    problems = []
    if settings["console"] != ("0.0.0.0:9091" if published else "127.0.0.1:9091"):
        problems.append(f"the console listens on {settings['console']}")
    if values.get("mode") == "include":
        return problems
    if bool(service) != published or bool(ingress) != published:
        problems.append("the console has a Service or an Ingress where it should not, or none where it should")
    if published:
        name = service["metadata"]["name"]
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        if [port["targetPort"] for port in service["spec"]["ports"]] != [9091] or backend != {"name": name, "port": {"name": "console"}}:
            problems.append("the console's Service or Ingress leads elsewhere")
        if f"{name}.data.svc" not in settings["console_hosts"] or ingress["spec"]["rules"][0]["host"] != "approvals.example":
            problems.append("the console does not answer to the name of its Service or Ingress")
    for document in documents:
        ports = [port.get("targetPort") for port in document["spec"]["ports"]] if document["kind"] == "Service" else []
        if 9091 in ports and document is not service:
            problems.append(f"the Service {document['metadata']['name']} leads to the console")
    return problems


def named(documents, kind, end):
    """The one document of this kind whose name ends so."""
    return next((d for d in documents if d["kind"] == kind and d["metadata"]["name"].endswith(end)), None)


def pod_labels(document):
    return document["spec"]["template"]["metadata"]["labels"] if document["kind"] == "Deployment" else {}


def settings_problems(documents):
    """What the gate's own check says of the files that its pods would have."""
    files = {}
    files.update(named(documents, "ConfigMap", "-settings")["data"])
    for key, text in named(documents, "ConfigMap", "-policies")["data"].items():
        files[f"policies/{key}"] = text
    for people in ("grants", "approvers"):
        secret = named(documents, "Secret", f"-{people}")
        if secret:
            decoded = {key: base64.b64decode(text).decode() for key, text in secret.get("data", {}).items()}
            files.update(secret.get("stringData", decoded))
        elif f"{people}: {people}.yaml" in files["toolgate.yaml"]:
            files[f"{people}.yaml"] = f"{people}: []\n"
    pods = [pod for pod in map(pod_of, documents) if pod]
    gates = [c for pod in pods for c in pod.get("initContainers", []) + pod["containers"] if c["name"] == "toolgate"]
    environment = {variable["name"]: str(variable.get("value", FROM_A_SECRET)) for variable in (gates[0]["env"] if gates else [])}
    for name, value in environment.items():
        environment[name] = value.replace("$(POD_IP)", "10.0.0.7")
    if environment.get("TOOLGATE__COUNTERS__URL") == FROM_A_SECRET:
        environment["TOOLGATE__COUNTERS__URL"] = "redis://from-a-secret:6379"
    if not gates:  # mode include: another chart has the container
        environment = {
            "COALESCE_TOKEN": "for-the-test",
            "TOOLGATE__COUNTERS__URL": "redis://redis:6379",
            "APPROVALS_KEY": FROM_A_SECRET,
            "TOOLGATE__APPROVALS__KEY__ENV": "APPROVALS_KEY",
        }
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

