"""A real client on `mcp` 1.x (sessions). See spec.py."""

from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import httpx
from mcp import ClientSession, types
from mcp.client import auth
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared import auth as shared
from mcp.shared.exceptions import McpError
from oauth import provider
from spec import callbacks, headers, names, report, run_calls, specification, stdio_server

spec = specification()


def authorization():
    if not spec["oauth"]:
        return None
    return provider(auth, shared, httpx, spec["url"], lambda answer: (answer["code"], answer["state"]))


@asynccontextmanager
async def transport():
    if "command" in spec:
        async with stdio_client(StdioServerParameters(**stdio_server(spec))) as streams:
            yield streams
        return
    if spec.get("transport") == "sse":
        async with sse_client(spec["url"], headers=headers(spec)) as streams:
            yield streams
        return
    async with (
        httpx.AsyncClient(headers=headers(spec), timeout=httpx.Timeout(30), auth=authorization()) as http,
        streamable_http_client(spec["url"], http_client=http) as streams,
    ):
        yield streams


async def work():
    timeout = timedelta(milliseconds=spec["callTimeoutMs"])
    asked = []
    answers = callbacks(types, asked) if spec["asked"] else {}
    async with (
        transport() as (read, write, *session_id),
        ClientSession(read, write, read_timeout_seconds=timeout, **answers) as session,
    ):
        ready = await session.initialize()

        async def page(cursor):
            listed = await session.list_tools(cursor)
            return [tool.name for tool in listed.tools], listed.nextCursor

        tools = await names(page) if spec["list"] else None
        calls = await run_calls(
            spec, session.call_tool, McpError, lambda result: result.isError, lambda error: (error.error.code, error.error.data)
        )
        session_id = session_id[0]() if session_id else None
        return {"protocolVersion": ready.protocolVersion, "session": session_id, "tools": tools, "asked": asked, "calls": calls}


report("python 1", anyio.run, work)
