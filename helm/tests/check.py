"""Checks the chart: `check.py` (pairs of options), `check.py --all` (the whole product), `check.py --bless` (golden files)."""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

import chart
import readme

TESTS = pathlib.Path(__file__).parent
GOLDEN = TESTS / "golden"

# Renderings that are kept, so that a change of the chart shows in review as what it does.
GOLDEN_VALUES = {
    "default": {},
    "shared": chart.merged([chart.MANY, {"replicas": 3, "redis": {"existingSecret": "redis-url"}, "grants": {"existingSecret": "grants"}}]),
    "people": chart.merged([chart.MANY, chart.PUBLISHED, {"replicas": 3, "redis": {"existingSecret": "redis-url"}, "grants": {"existingSecret": "grants"}}]),
    "sidecar": chart.merged([{"mode": "sidecar"}, chart.OWN_SIDECAR, {"grants": {"existingSecret": "grants"}, "redis": {"url": "redis://redis:6379"}}]),
}
# The plain manifest, which the kustomization beside it takes as its base.
PLAIN = chart.ROOT / "examples" / "kubernetes" / "base" / "toolgate.yaml"
PLAIN_VALUES = {"fullnameOverride": "toolgate", "replicas": 3, "redis": {"bundled": {"enabled": True}}, "grants": {"existingSecret": "toolgate-grants"}}

# Values that must be refused, and what the message must say.
REFUSED = [
    ({"replicas": 2}, "more than one gate without a shared store"),
    ({"autoscaling": {"enabled": True}}, "more than one gate without a shared store"),
    ({"mode": "agent"}, "mode"),
    ({"replicsa": 1}, "replicsa"),
    ({"policies": {"p": {"version": "1"}}}, "default"),
    ({"exampleServer": {"enabled": False}, "policies": {"p": chart.POLICY}}, "no server"),
    ({"servers": {"s": {"upstream": "http://s/mcp"}}}, "no policy"),
    ({"servers": {"s": {}}, "policies": {"p": chart.POLICY}}, "no upstream"),
    ({"mode": "sidecar", **chart.MANY, "sidecar": {"image": "i"}}, "has one server"),
    ({"grants": {"existingSecret": "a", "entries": [chart.ENTRY]}}, "set one of them"),
    ({"grants": {"entries": [{"id": "a", "token": "plain"}]}}, "entries"),
    ({"redis": {"url": "redis://r", "bundled": {"enabled": True}}}, "set one of them"),
    ({"redis": {"url": "localhost"}}, "url"),
    ({"drainMs": 40000}, "terminationGracePeriodSeconds"),
    ({"audit": {"stdout": False}}, "decisions go nowhere"),
    ({"audit": {"redisStream": {"name": "audit"}}}, "kept in the Redis of the counters"),
    ({"audit": {"file": {"enabled": True, "volume": {"persistentVolumeClaim": {"claimName": "c"}}}}}, "two gates would write to one claim"),
    ({"audit": {"overflow": "lose"}}, "overflow"),
    ({**chart.FORWARDED, "replicas": 2}, "more than one gate without a shared store"),
    ({"console": {"enabled": True}}, "a console without approvers"),
    ({"console": {**chart.FORWARDED["console"], "approvers": {"existingSecret": "a", "entries": [chart.APPROVER]}}}, "set one of them"),
    ({"console": {**chart.PUBLISHED["console"], "approvers": {"entries": [{"id": "a", "token": "plain"}]}}}, "entries"),
    ({"console": chart.FORWARDED["console"], "redis": {"url": "redis://r"}}, "a console without a key"),
    ({"console": {**chart.FORWARDED["console"], "port": 9090}}, "choose another"),
    ({"console": {**chart.PUBLISHED["console"], "enabled": False}}, "set console.enabled"),
    ({"console": {**chart.PUBLISHED["console"], "service": {"enabled": False}}}, "set console.service.enabled"),
    ({"console": {**chart.PUBLISHED["console"], "url": ""}}, "has the host of console.url"),
    ({"console": {**chart.PUBLISHED["console"], "url": "https://approvals.example/people"}}, "url"),
    ({"console": {**chart.PUBLISHED["console"], "from": []}}, "lets nobody to the console's Service"),
]


def lint():
    for version in (3, 4):
        chart.helm(version, "lint", "--strict", chart.CHART)


def refused():
    problems = []
    for values, wanted in REFUSED:
        for version in (3, 4):
            done = chart.helm(version, "template", "release", chart.CHART, values=values, check=False)
            if done.returncode == 0 or wanted not in done.stderr:
                problems.append(f"{json.dumps(values)}: helm {version} should say `{wanted}`, said: {done.stderr.strip() or 'nothing'}")
    return problems


def golden(bless):
    problems = []
    files = {GOLDEN / f"{name}.yaml": values for name, values in GOLDEN_VALUES.items()} | {PLAIN: PLAIN_VALUES}
    for path, values in files.items():
        text = chart.render(values)[0]
        if bless:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            problems.append(f"{path}: the rendering has changed: run `make chart-bless` and read the diff")
    return problems


def notes():
    """What people read after an installation."""
    text = chart.helm(4, "install", "release", chart.CHART, "--dry-run=client", "--namespace", "data").stdout
    wanted = ["toolgate grant new --id first --server example", "kubectl --namespace data create secret generic", "/mcp/example"]
    return [f"the notes do not say `{part}`" for part in wanted if part not in text]


def parent():
    """Another chart takes the gate by template."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "helm" / "tests" / "parent"
        subprocess.run(["cp", "-r", chart.ROOT / "helm", folder], check=True)
        chart.helm(4, "dependency", "build", copy)
        _, documents = chart.render({}, chart=copy)
        _, by_three = chart.render({}, version=3, chart=copy)
    problems = [] if documents == by_three else ["the parent chart: helm 3 and helm 4 differ"]
    pods = [pod for pod in map(chart.pod_of, documents) if pod]
    if len(pods) != 1 or [c["name"] for c in pods[0].get("initContainers", [])] != ["toolgate"]:
        problems.append("the parent chart's pod has no gate")
    for pod in pods:
        problems += chart.pod_problems(pod)
    for document in documents:
        problems += chart.schema_problems(json.dumps(document, sort_keys=True))
    return problems + chart.settings_problems(documents)


def kustomize():
    """The base and an overlay build, are valid, and carry the overlay's policy."""
    problems = []
    for folder in ("base", "overlay"):
        command = [chart.TOOLS / "kubectl4", "kustomize", PLAIN.parents[1] / folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            problems.append(f"kustomize {folder}: {done.stderr.strip()}")
            continue
        documents = list(yaml.safe_load_all(done.stdout))
        for document in documents:
            problems += chart.schema_problems(json.dumps(document, sort_keys=True))
        problems += chart.settings_problems(documents)
        if folder == "overlay" and '"max": 4' not in done.stdout:
            problems.append("the overlay's policy is not in what kustomize builds")
    return problems


def rules():
    problems = []
    path = chart.CHART / "rules" / "toolgate.yaml"
    for command in (["check", "rules", path], ["test", "rules", TESTS / "rules.test.yaml"]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        if done.returncode != 0:
            problems.append(f"promtool {command[0]} {command[1]}: {done.stdout}{done.stderr}")
    alerts = [rule["alert"] for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    tried = (TESTS / "rules.test.yaml").read_text()
    runbooks = (chart.ROOT / "docs" / "runbooks.md").read_text()
    for alert in alerts:
        if f"alertname: {alert}" not in tried:
            problems.append(f"{alert} is not tried in rules.test.yaml")
        if f"\n## {alert}\n" not in runbooks:
            problems.append(f"{alert} has no runbook in docs/runbooks.md")
    return problems


def metric_names():
    """Rules and dashboard ask for metrics that exist."""
    sources = "\n".join(path.read_text() for path in (chart.ROOT / "src").rglob("*.rs"))
    known = set(re.findall(r'"((?:toolgate|mcp)_[a-z_]+)"', sources))
    texts = [(chart.CHART / "rules" / "toolgate.yaml").read_text(), (chart.CHART / "dashboards" / "toolgate.json").read_text()]
    asked = {re.sub(r"_(bucket|sum|count)$", "", name) for text in texts for name in re.findall(r"\b(?:toolgate|mcp)_[a-z_]+", text)}
    return [f"no metric is called {name}" for name in sorted(asked - known)] if asked else ["no metric was found in the dashboard"]


def combinations(which):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(chart.problems_of, which))
    return [f"{json.dumps(values)}: {problem}" for values, problems in zip(which, found) for problem in problems]


def main():
    bless = "--bless" in sys.argv
    which = chart.every_combination() if "--all" in sys.argv else chart.every_pair()
    lint()
    steps = {
        "README.md": lambda: readme.check(bless),
        "golden files": lambda: golden(bless),
        "refused values": refused,
        "notes": notes,
        "as a dependency": parent,
        "kustomize": kustomize,
        "rules": rules,
        "metric names": metric_names,
        f"{len(which)} combinations": lambda: combinations(which),
    }
    problems = []
    for name, step in steps.items():
        found = step()
        print(f"==> chart: {name}: {'ok' if not found else f'{len(found)} problems'}", flush=True)
        problems += found
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
