"""The Python SDK 2.x at one server after the other. Usage: visit2.py http|sse|stdio legacy|auto TARGETS

TARGETS as in visit1.py.
"""

import asyncio
import json
import sys
from typing import Any

from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


def streams(transport: str, where: list[str]) -> Any:
    if transport == "http":
        return streamable_http_client(where[0])
    if transport == "sse":
        return sse_client(where[0])
    return stdio_client(StdioServerParameters(command=where[0], args=where[1:]))


async def visit(transport: str, mode: str, where: list[str]) -> dict[str, Any]:
    async with Client(streams(transport, where), mode=mode) as client:
        tools = await client.list_tools()
        name = await client.call_tool("whoami", {})
        return {"version": client.protocol_version, "tools": len(tools.tools), "whoami": name.content[0].text}


async def main(transport: str, mode: str, targets: list[dict[str, Any]]) -> None:
    for target in targets:
        try:
            async with asyncio.timeout(30):
                seen = await visit(transport, mode, target["where"])
        except BaseException as why:
            seen = {"error": repr(why)}
        print(json.dumps({"name": target["name"], **seen}), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
