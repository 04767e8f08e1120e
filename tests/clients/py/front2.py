"""The Python SDK 2.x over HTTP+SSE or stdio. Usage: front2.py sse|stdio legacy|auto URL|COMMAND...

Lists and calls tools, answers what the server asks, and prints what it saw.
"""

import asyncio
import json
import sys
from typing import Any

from mcp import types
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def sample(context: Any, params: Any) -> types.CreateMessageResult:
    text = types.TextContent(type="text", text="the sampled answer")
    return types.CreateMessageResult(role="assistant", content=text, model="none", stop_reason="endTurn")


async def elicit(context: Any, params: Any) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "ann", "username": "ann", "email": "ann@example.com"})


async def main(transport: str, mode: str, where: list[str]) -> None:
    steps: list[float] = []

    async def progress(done: float, *_: Any) -> None:
        steps.append(done)

    if transport == "sse":
        streams = sse_client(where[0])
    else:
        streams = stdio_client(StdioServerParameters(command=where[0], args=where[1:]))
    async with Client(streams, mode=mode, sampling_callback=sample, elicitation_callback=elicit) as client:
        modern = client.protocol_version >= "2026"
        tools = await client.list_tools()
        name = await client.call_tool("whoami", {})
        await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
        # A modern server asks within the call.
        asks = "test_input_required_result_sampling" if modern else "test_sampling"
        sampled = await client.call_tool(asks, {} if modern else {"prompt": "say something"})
        asks = "test_input_required_result_elicitation" if modern else "test_elicitation"
        elicited = await client.call_tool(asks, {} if modern else {"message": "who?"})
        many = await asyncio.gather(*(client.call_tool("whoami", {}) for _ in range(20)))
        print(json.dumps({
            "version": client.protocol_version,
            "tools": [tool.name for tool in tools.tools],
            "whoami": name.content[0].text,
            "progress": steps,
            "sampled": sampled.content[0].text,
            "elicited": elicited.content[0].text,
            "many": len([answer for answer in many if answer.content[0].text == name.content[0].text]),
        }))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
