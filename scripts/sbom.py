#!/usr/bin/env python3
"""Writes a CycloneDX 1.6 list of what the toolgate binary is made of, from `cargo metadata` and Cargo.lock.

Usage: sbom.py FILE. The same sources give the same bytes: no time and no random number stands in it.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"


def metadata():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", TARGET]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def reached(nodes, root):
    """Ids of the packages in the binary or run while it is built; what only tests need is left out."""
    seen, todo = set(), [root]
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return seen


def component(package, checksums):
    purl = f"pkg:cargo/{package['name']}@{package['version']}"
    entry = {"type": "library", "bom-ref": purl, "name": package["name"], "version": package["version"], "purl": purl}
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


def main():
    found = metadata()
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    packages = {package["id"]: package for package in found["packages"]}
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    root = found["resolve"]["root"]
    inside = reached(nodes, root)
    parts = {id: component(packages[id], checksums) for id in inside}
    links = []
    for id in sorted(inside, key=lambda id: parts[id]["bom-ref"]):
        below = {parts[d["pkg"]]["bom-ref"] for d in nodes[id]["deps"] if d["pkg"] in inside}
        links.append({"ref": parts[id]["bom-ref"], "dependsOn": sorted(below)})
    main_part = parts.pop(root) | {"type": "application"}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main_part},
        "components": sorted(parts.values(), key=lambda part: part["bom-ref"]),
        "dependencies": links,
    }
    out = pathlib.Path(sys.argv[1])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(bom, indent=1) + "\n")
    print(f"{out}: {len(bom['components'])} components")


if __name__ == "__main__":
    main()
