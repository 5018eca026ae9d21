"""A fixture server on `mcp` 1.x (FastMCP). Argument: `stateful` or `stateless`.

First line on stdout: {"event":"listening","mcp":"http://127.0.0.1:PORT/mcp","control":"http://127.0.0.1:PORT"};
`GET /state` on `control` tells {"executions": {tool: count}}.
"""

import json
import socket
import sys
from collections import Counter

import uvicorn
from mcp.server.fastmcp import FastMCP
from starlette.responses import JSONResponse

executions = Counter()
server = FastMCP("toolgate-fixture", stateless_http=sys.argv[1] == "stateless", log_level="ERROR")


@server.tool()
def start_run(pipeline: str = "default") -> str:
    """Starts a pipeline run. Has a side effect."""
    executions["start_run"] += 1
    return f"run {executions['start_run']} of {pipeline} started"


@server.tool()
def echo(message: str = "") -> str:
    """Says what it was told."""
    executions["echo"] += 1
    return f"Echo: {message}"


@server.custom_route("/state", methods=["GET"])
async def state(_request):
    return JSONResponse({"executions": executions})


listener = socket.create_server(("127.0.0.1", 0))
at = f"http://127.0.0.1:{listener.getsockname()[1]}"
config = uvicorn.Config(server.streamable_http_app(), log_level="error")
print(json.dumps({"event": "listening", "mcp": f"{at}/mcp", "control": at}), flush=True)
uvicorn.Server(config).run(sockets=[listener])
