"""A real client on FastMCP 4: 2026-07-28 where the server has it, sessions elsewhere. See spec.py."""

import anyio
import mcp_types as types
from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp import MCPError
from spec import callbacks, headers, report, run_calls, specification, stdio_server

spec = specification()


def transport():
    if "command" in spec:
        return StdioTransport(**stdio_server(spec))
    Transport = SSETransport if spec.get("transport") == "sse" else StreamableHttpTransport
    return Transport(spec["url"], headers=headers(spec))


def handlers(asked):
    """FastMCP hands the parts of a question over one by one."""
    answers = callbacks(types, asked)

    async def sample(_messages, params, context):
        return await answers["sampling_callback"](context, params)

    async def elicit(_message, _response_type, params, context):
        return await answers["elicitation_callback"](context, params)

    return {"sampling_handler": sample, "elicitation_handler": elicit}


async def work():
    asked = []
    more = handlers(asked) if spec["asked"] else {}
    async with Client(transport(), timeout=spec["callTimeoutMs"] / 1000, mode=spec["era"], **more) as client:
        tools = [tool.name for tool in await client.list_tools()]

        async def call(name, arguments, progress_callback=None):
            return await client.call_tool_mcp(name, arguments, progress_handler=progress_callback)

        calls = await run_calls(
            spec, call, MCPError, lambda result: result.is_error, lambda error: (error.code, error.data)
        )
        return {"protocolVersion": client.protocol_version, "session": None, "tools": tools, "asked": asked, "calls": calls}


report("fastmcp 4", anyio.run, work)
