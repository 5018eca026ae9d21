"""A server on the official SDK (`mcp` 1.x) over stdio whose tools leave a trace: each run is a line in a file.

Argument: a JSON object {"log": FILE}.
"""

import json
import sys

from mcp.server.fastmcp import FastMCP

settings = json.loads(sys.argv[1])
server = FastMCP("toolgate-fixture")


def ran(tool):
    with open(settings["log"], "a", encoding="utf-8") as log:
        log.write(f"ran {tool}\n")
    return f"{tool} ran"


@server.tool(name="files/write")
def files_write() -> str:
    return ran("files/write")


@server.tool()
def echo() -> str:
    return ran("echo")


server.run(transport="stdio")
