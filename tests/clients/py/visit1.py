"""Any Python SDK 1.x at one server after the other. Usage: visit1.py http|sse|ws|stdio - TARGETS

TARGETS is a JSON list of {"name": .., "where": [URL or words of a command]}. For each it says on a line what it saw.
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import Any

from mcp import ClientSession, StdioServerParameters


@asynccontextmanager
async def streams(transport: str, where: list[str]):
    if transport == "http":
        from mcp.client.streamable_http import streamablehttp_client

        async with streamablehttp_client(where[0]) as (read, write, _):
            yield read, write
    elif transport == "sse":
        from mcp.client.sse import sse_client

        async with sse_client(where[0]) as both:
            yield both
    elif transport == "ws":
        from mcp.client.websocket import websocket_client

        async with websocket_client(where[0]) as both:
            yield both
    else:
        from mcp.client.stdio import stdio_client

        async with stdio_client(StdioServerParameters(command=where[0], args=where[1:])) as both:
            yield both


async def visit(transport: str, where: list[str]) -> dict[str, Any]:
    async with streams(transport, where) as (read, write), ClientSession(read, write) as session:
        hello = await session.initialize()
        tools = await session.list_tools()
        name = await session.call_tool("whoami", {})
        return {
            "version": str(hello.protocolVersion),
            "tools": len(tools.tools),
            "whoami": name.content[0].text,
        }


async def main(transport: str, targets: list[dict[str, Any]]) -> None:
    for target in targets:
        try:
            async with asyncio.timeout(30):
                seen = await visit(transport, target["where"])
        except BaseException as why:
            seen = {"error": repr(why)}
        print(json.dumps({"name": target["name"], **seen}), flush=True)


asyncio.run(main(sys.argv[1], json.loads(sys.argv[3])))
