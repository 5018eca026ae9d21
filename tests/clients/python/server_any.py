"""One server on each Python SDK, whose tools leave a trace. Argument: a JSON object
{"sdk": "mcp-1" | "mcp-2" | "fastmcp-4", "transport": "http" | "sse" | "stdio", "stateless": false, "log": FILE,
"slowList": false (mcp-1: takes half a second to list its tools, and counts that as `tools/list`)}.

Over HTTP the first line on stdout is {"event":"listening","mcp":URL,"control":"http://127.0.0.1:PORT"}, and
`GET /state` on `control` tells {"executions": {tool: count}}. Over stdio each run is a line `ran TOOL` in `log`.
"""

import json
import socket
import sys
from collections import Counter

import anyio

settings = {"stateless": False, "slowList": False, **json.loads(sys.argv[1])}
executions = Counter()


def ran(tool):
    executions[tool] += 1
    if "log" in settings:
        with open(settings["log"], "a", encoding="utf-8") as log:
            log.write(f"ran {tool}\n")
    return f"{tool} ran"


def start_run(pipeline: str = "default") -> str:
    """Starts a pipeline run. Has a side effect."""
    return ran("start_run")


def echo(message: str = "") -> str:
    """Says what it was told."""
    ran("echo")
    return f"Echo: {message}"


async def wait() -> str:
    """Takes a while."""
    await anyio.sleep(3)
    return ran("wait")


def secret_show() -> str:
    """Is hidden."""
    return ran("secret-show")


def build():
    """The server, and its HTTP application for a transport."""
    sdk, stateless = settings["sdk"], settings["stateless"]
    if sdk == "mcp-1":
        from mcp.server.fastmcp import FastMCP

        server = FastMCP("toolgate-fixture", stateless_http=stateless, log_level="ERROR")
        return server, {"http": server.streamable_http_app, "sse": server.sse_app}
    if sdk == "mcp-2":
        from mcp.server.mcpserver import MCPServer

        server = MCPServer("toolgate-fixture", log_level="ERROR")
        return server, {"http": lambda: server.streamable_http_app(stateless_http=stateless), "sse": server.sse_app}
    from fastmcp import FastMCP

    server = FastMCP("toolgate-fixture")
    return server, {
        "http": lambda: server.http_app(stateless_http=stateless),
        "sse": lambda: server.http_app(transport="sse"),
    }


server, applications = build()
for tool, name in [(start_run, "start_run"), (echo, "echo"), (wait, "wait"), (secret_show, "secret-show")]:
    server.tool(name=name)(tool)

if settings["slowList"]:
    from mcp import types

    handlers = server._mcp_server.request_handlers
    list_tools = handlers[types.ListToolsRequest]

    async def slow_list(request):
        ran("tools/list")
        await anyio.sleep(0.5)
        return await list_tools(request)

    handlers[types.ListToolsRequest] = slow_list

if settings["transport"] == "stdio":
    server.run(transport="stdio", **({"show_banner": False} if settings["sdk"] == "fastmcp-4" else {}))
else:
    import uvicorn
    from starlette.responses import JSONResponse

    @server.custom_route("/state", methods=["GET"])
    async def state(_request):
        return JSONResponse({"executions": executions})

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    at = f"http://127.0.0.1:{listener.getsockname()[1]}"
    application = applications[settings["transport"]]()
    config = uvicorn.Config(application, log_level="critical")
    path = "/mcp" if settings["transport"] == "http" else "/sse"
    print(json.dumps({"event": "listening", "mcp": f"{at}{path}", "control": at}), flush=True)
    uvicorn.Server(config).run(sockets=[listener])
