"""What the two Python clients share; the specification and the answer are those of ../node/spec.mjs."""

import json
import sys

import anyio


def specification():
    defaults = {"list": True, "callTimeoutMs": 20_000, "asked": False, "oauth": False, "calls": [], "token": None, "era": "auto"}
    return {**defaults, **json.loads(sys.argv[1])}


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
            calls.append({"tool": wanted["tool"], **await run_call(wanted, call, protocol_error, is_error, code_of)})
    return calls


async def run_call(wanted, call, protocol_error, is_error, code_of):
    progress, options = [], {}
    with anyio.CancelScope() as scope:

        async def on_progress(reached, _total, _message):
            progress.append(reached)
            if wanted.get("abort"):
                scope.cancel()

        if wanted.get("watch") or wanted.get("abort"):
            options["progress_callback"] = on_progress
        try:
            result = await call(wanted["tool"], wanted.get("arguments", {}), **options)
            text = "\n".join(getattr(part, "text", "") for part in result.content)
            kind = "tool_error" if is_error(result) else "ok"
            return {"kind": kind, "text": text, "meta": result.meta, "progress": progress}
        except protocol_error as error:
            # A read that timed out or a stream that closed is reported through the same exception type.
            code, data = code_of(error)
            kind = "protocol_error" if code not in (408, -32000) else "transport_error"
            return {"kind": kind, "text": str(error), "code": code, "data": data}
        except Exception as error:  # noqa: BLE001 - whatever the SDK throws is a result of the test
            return {"kind": "transport_error", "text": repr(error), "code": None}
    return {"kind": "aborted", "text": "", "progress": progress}


def callbacks(types, asked):
    """What a client that may be asked answers; `types` are the SDK's, `asked` gets the methods."""

    async def sample(_context, _params):
        asked.append("sampling/createMessage")
        content = types.TextContent(type="text", text="sampled")
        return types.CreateMessageResult(role="assistant", content=content, model="test")

    async def elicit(_context, params):
        asked.append("elicitation/create")
        schema = getattr(params, "requested_schema", None) or params.requestedSchema
        return types.ElicitResult(action="accept", content={name: "ada" for name in schema["properties"]})

    return {"sampling_callback": sample, "elicitation_callback": elicit}


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
