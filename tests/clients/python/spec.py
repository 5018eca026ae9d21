"""What the two Python clients share; the specification and the answer are those of ../node/spec.mjs."""

import json
import sys


def specification():
    return {"list": True, "callTimeoutMs": 20_000, "calls": [], "token": None, **json.loads(sys.argv[1])}


def stdio_server(spec):
    """The server to start, where the client speaks stdio."""
    command, *args = spec["command"]
    return {"command": command, "args": args, "env": spec.get("env", {})}


def headers(spec):
    return {"authorization": f"Bearer {spec['token']}"} if spec["token"] else {}


async def run_calls(spec, call, protocol_error, is_error, code_of):
    """Runs every call one after the other; `protocol_error` is the SDK's exception for JSON-RPC errors."""
    calls = []
    for wanted in spec["calls"]:
        for _ in range(wanted.get("times", 1)):
            tool = wanted["tool"]
            try:
                result = await call(tool, wanted.get("arguments", {}))
                text = "\n".join(getattr(part, "text", "") for part in result.content)
                kind = "tool_error" if is_error(result) else "ok"
                calls.append({"tool": tool, "kind": kind, "text": text, "meta": result.meta})
            except protocol_error as error:
                # A read that timed out or a stream that closed is reported through the same exception type.
                code, data = code_of(error)
                kind = "protocol_error" if code not in (408, -32000) else "transport_error"
                calls.append({"tool": tool, "kind": kind, "text": str(error), "code": code, "data": data})
            except Exception as error:  # noqa: BLE001 - whatever the SDK throws is a result of the test
                calls.append({"tool": tool, "kind": "transport_error", "text": repr(error), "code": None})
    return calls


async def names(list_tools):
    """All pages of tools/list, as names; `list_tools(cursor)` answers (names, next cursor)."""
    found, cursor = [], None
    while True:
        page, cursor = await list_tools(cursor)
        found += page
        if not cursor:
            return found


def leaves(error):
    """The exceptions inside (nested) exception groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def report(client, run, work):
    """Prints the answer, or the failure to connect, as one line of JSON and ends the process."""
    try:
        answer = {"client": client, **run(work)}
    except BaseException as error:  # noqa: BLE001 - an exception group may wrap anything
        answer = {"client": client, "failed": "; ".join(repr(leaf) for leaf in leaves(error))}
    print(json.dumps(answer), flush=True)
    sys.exit(1 if "failed" in answer else 0)
