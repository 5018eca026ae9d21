"""Writes the chart's README.md from the comments of values.yaml."""

import json

import yaml

import chart

HEAD = """# toolgate

A gate for the tool calls of AI agents, in front of MCP servers, in three shapes:

- `mode: shared`: a Deployment of gates before servers that are elsewhere in the cluster.
- `mode: sidecar`: one MCP server with a gate in the same pod. The server listens on loopback, so that the gate is the only way to it.
- `mode: include`: settings and policies only. A chart of your own takes the gate's container by template:

```yaml
initContainers:
  {{- include "toolgate.sidecar" .Subcharts.toolgate | nindent 8 }}
volumes:
  {{- include "toolgate.volumes" .Subcharts.toolgate | nindent 8 }}
```

```
helm install gate helm/toolgate                     # the example server, counters in memory
helm install gate helm/toolgate --set replicas=3 --set redis.bundled.enabled=true
helm test gate                                      # lists tools through the gate; needs test.tokenSecret
```

Policies and grants are read again when they change; the rest of the settings takes a restart, which a checksum brings about.
[docs/kubernetes.md](../../docs/kubernetes.md) has more: sizes, upgrades, network policies, other shapes.

## Values

| key | default | meaning |
| --- | --- | --- |
"""


def rows():
    """Key, default and comment of each value that has one; a section without a comment stands for its keys."""
    values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    path, comment = [], []
    for line in (chart.CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# --"):
            comment = [text[4:].strip()]
        elif text.startswith("#"):
            comment = comment + [text[1:].strip()] if comment else []
        elif ":" in text and not text.startswith("-"):
            depth = (len(line) - len(line.lstrip())) // 2
            path = path[:depth] + [text.split(":", 1)[0]]
            default = values
            for key in path:
                default = default[key]
            leaf = not (isinstance(default, dict) and default and not text.endswith("}"))
            if comment or leaf:
                yield ".".join(path), default if leaf else None, " ".join(comment)
            comment = []
        else:
            comment = []


def text():
    lines = []
    for key, default, comment in rows():
        shown = "" if default is None else f"`{json.dumps(default)}`"
        lines.append(f"| `{key}` | {shown} | {comment} |")
    return HEAD + "\n".join(lines) + "\n"


def check(bless):
    path = chart.CHART / "README.md"
    if bless:
        path.write_text(text())
    ok = path.exists() and path.read_text() == text()
    return [] if ok else [f"{path}: not what values.yaml says: run `make chart-bless`"]
