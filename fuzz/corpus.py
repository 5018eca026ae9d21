#!/usr/bin/env python3
"""Keeps the fuzzers' corpus in few files that git can show and merge.

fuzz/corpus/TARGET.txt holds one input a line: printable ASCII as it is, anything else escaped as in a Rust byte string.

    corpus.py unpack TARGET DIR   writes each input, and each seed, to a file in DIR
    corpus.py pack TARGET DIR     writes the files in DIR to fuzz/corpus/TARGET.txt

Seeds are the bodies, messages and policies that the tests hold; they are read anew each time.
"""

import base64
import hashlib
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMED = {"\\t": b"\t", "\\r": b"\r", "\\n": b"\n", "\\'": b"'", '\\"': b'"', "\\\\": b"\\"}
NAMES = {value: name for name, value in NAMED.items()}
ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\.", re.DOTALL)
RAW_STRING = re.compile(r'r#"(.*?)"#', re.DOTALL)
# What one input may have at most: longer ones cost time and find nothing that short ones do not.
MAX_LEN = {"policy_document": 2048, "envelope": 2048, "headers": 1024, "list_filter": 2048, "sse": 512, "decide": 512}


def escape(data):
    def one(byte):
        char = bytes([byte])
        return NAMES.get(char) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}")

    return "".join(map(one, data))


def unescape(line):
    out, at = bytearray(), 0
    for found in ESCAPE.finditer(line):
        out += line[at : found.start()].encode("ascii")
        out += bytes.fromhex(found[1]) if found[1] else NAMED[found[0]]
        at = found.end()
    return bytes(out + line[at:].encode("ascii"))


def kept(target):
    file = ROOT / "fuzz/corpus" / f"{target}.txt"
    return [unescape(line) for line in file.read_text("ascii").splitlines()] if file.exists() else []


def raw_strings(*files):
    for file in files:
        text = (ROOT / file).read_text("utf-8")
        for found in RAW_STRING.finditer(text):
            # What `format!` fills in stands in braces there.
            yield found[1].encode()
            yield re.sub(r"\{[a-z]+\}", "{}", found[1].replace("{{", "{").replace("}}", "}")).encode()


def bodies():
    return raw_strings(
        "tests/mcp_bytes_tricky.rs",
        "tests/mcp_bytes.rs",
        "src/mcp/ways_round_tests.rs",
        "src/mcp/envelope/tests.rs",
        "src/mcp/headers/tests.rs",
    )


def policies():
    for folder in ("tests/policies", "examples"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".json", ".yaml"):
                yield file.read_bytes()
    blocks = re.compile(r"```(json|yaml)[^\n]*\n(.*?)```", re.DOTALL)
    for file in sorted((ROOT / "docs").rglob("*.md")):
        for found in blocks.finditer(file.read_text("utf-8")):
            yield found[2].encode()


def mirrored():
    """A body for each method that has a member which `Mcp-Name` mirrors."""
    members = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
    members |= {f"tasks/{verb}": "taskId" for verb in ("get", "result", "cancel", "update")}
    for method, member in members.items():
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        params = {member: "a", "_meta": meta}
        yield json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def with_headers(body):
    """Headers that say what the body says, and headers that do not."""
    try:
        message = json.loads(body)
        params = message.get("params") or {}
        member = params.get("name") or params.get("uri") or params.get("taskId") or ""
        method, name = str(message.get("method", "")).encode(), str(member).encode()
    except (ValueError, AttributeError):
        method = name = b"t"
    for said in (name, name + b" ", b"=?base64?" + base64.b64encode(name) + b"?=", b"=?base64?" + name + b"?="):
        yield b"\x1f".join((method, said, b"2026-07-28", body))
    yield b"\x1f".join((b"ping", name, b"2025-11-25", body))


def always(target):
    """Inputs that stay whatever coverage says: texts that are compared make no edge."""
    if target == "headers":
        for body in mirrored():
            yield from with_headers(body)


def seeds(target):
    if target == "envelope":
        yield from bodies()
    elif target == "policy_document":
        yield from policies()
    elif target == "headers":
        for body in bodies():
            yield from with_headers(body)
    elif target == "list_filter":
        for message in raw_strings("src/mcp/list/tests.rs", "tests/mcp_bytes_streams.rs"):
            for choice in b"\x00\x02\x04\x05":
                yield bytes([choice]) + message
    elif target == "sse":
        for end in (b"\n", b"\r\n", b"\r"):
            for event in (b": ping||", b"id: 1|data:||", b"event: message|data: {|data: }||", b"data: a||data|| |"):
                yield b"\x21\x07" + event.replace(b"|", end)
                yield b"\x00\xff\xef\xbb\xbf" + event.replace(b"|", end)
    elif target == "decide":
        for number in range(64):
            yield hashlib.shake_128(bytes([number])).digest(160)


def unpack(target, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for data in [*kept(target), *seeds(target), *always(target)]:
        if len(data) <= MAX_LEN[target]:
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def pack(target, folder):
    found = {file.read_bytes() for file in folder.iterdir()}
    if not found:
        sys.exit(f"corpus.py: `{folder}` holds no input")
    inputs = sorted(data for data in found | set(always(target)) if data and len(data) <= MAX_LEN[target])
    lines = "".join(escape(data) + "\n" for data in inputs)
    (ROOT / "fuzz/corpus" / f"{target}.txt").write_text(lines, "ascii")
    print(f"{target}: {len(inputs)} inputs, {len(lines)} bytes")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["unpack", target, folder] if target in MAX_LEN:
            unpack(target, pathlib.Path(folder))
        case ["pack", target, folder] if target in MAX_LEN:
            pack(target, pathlib.Path(folder))
        case ["max-len", target] if target in MAX_LEN:
            print(MAX_LEN[target])
        case _:
            sys.exit(__doc__)
