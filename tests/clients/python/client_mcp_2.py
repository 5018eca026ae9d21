"""A real client on `mcp` 2.x: 2026-07-28 where the server has it, sessions elsewhere. See spec.py."""

import anyio
import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client import auth
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared import auth as shared
from oauth import provider
from spec import callbacks, headers, names, report, run_calls, specification, stdio_server

spec = specification()


def authorization():
    if not spec["oauth"]:
        return None

    def result(answer):
        return auth.AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=answer["iss"])

    return provider(auth, shared, httpx2, spec["url"], result)


async def work():
    asked = []
    answers = callbacks(types, asked) if spec["asked"] else {}
    async with httpx2.AsyncClient(headers=headers(spec), timeout=httpx2.Timeout(30), auth=authorization()) as http:
        if "command" in spec:
            transport = stdio_client(StdioServerParameters(**stdio_server(spec)))
        elif spec.get("transport") == "sse":
            transport = sse_client(spec["url"], headers=headers(spec))
        else:
            transport = streamable_http_client(spec["url"], http_client=http)
        async with Client(transport, read_timeout_seconds=spec["callTimeoutMs"] / 1000, mode=spec["era"], **answers) as client:

            async def page(cursor):
                listed = await client.list_tools(cursor=cursor)
                return [tool.name for tool in listed.tools], listed.next_cursor

            tools = await names(page) if spec["list"] else None
            calls = await run_calls(
                spec, client.call_tool, MCPError, lambda result: result.is_error, lambda error: (error.code, error.data)
            )
            return {"protocolVersion": client.protocol_version, "session": None, "tools": tools, "asked": asked, "calls": calls}


report("python 2", anyio.run, work)
