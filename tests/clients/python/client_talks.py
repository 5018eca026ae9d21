"""A client on `mcp` 1.x over stdio that is asked back while its calls run. See ../node/client-talks.mjs."""

import anyio
from mcp import ClientSession, types
from mcp.client.stdio import StdioServerParameters, stdio_client
from spec import report, specification, stdio_server

spec = specification()
asked = []


async def sampling(_context, _params):
    asked.append("sampling")
    said = types.TextContent(type="text", text="sampled words")
    return types.CreateMessageResult(role="assistant", content=said, model="m")


async def elicitation(_context, _params):
    asked.append("elicitation")
    return types.ElicitResult(action="decline")


async def roots(_context):
    asked.append("roots")
    return types.ListRootsResult(roots=[types.Root(uri="file:///tmp/a-root", name="a root")])


async def work():
    callbacks = {"sampling_callback": sampling, "elicitation_callback": elicitation, "list_roots_callback": roots}
    async with (
        stdio_client(StdioServerParameters(**stdio_server(spec))) as (read, write),
        ClientSession(read, write, **callbacks) as session,
    ):
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        texts, steps = {}, []

        async def call(name, arguments, **more):
            result = await session.call_tool(name, arguments, **more)
            texts[name] = "\n".join(getattr(part, "text", "") for part in result.content)

        async def progress(done, _total, _message):
            steps.append(done)

        await call("trigger-sampling-request", {"prompt": "hi"})
        await call("trigger-elicitation-request", {})
        await call("get-roots-list", {})
        await call("trigger-long-running-operation", {"duration": 0.3, "steps": 3}, progress_callback=progress)
        await call("echo", {"message": "after"})
        return {"tools": tools, "asked": asked, "texts": texts, "progress": len(steps)}


report("python 1, asked back", anyio.run, work)
