"""Any Python SDK 1.x over a transport that is not Streamable HTTP. Usage: front1.py sse|ws|stdio URL|COMMAND... [--key API_KEY]

Lists and calls tools, answers what the server asks, and prints what it saw.
"""

import asyncio
import inspect
import json
import sys
from contextlib import asynccontextmanager
from typing import Any

from mcp import ClientSession, StdioServerParameters, types


@asynccontextmanager
async def streams(transport: str, where: list[str], key: str | None):
    if transport == "sse":
        from mcp.client.sse import sse_client

        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with sse_client(where[0], headers=headers) as both:
            yield both
    elif transport == "ws":
        from mcp.client.websocket import websocket_client

        async with websocket_client(where[0]) as both:
            yield both
    else:
        from mcp.client.stdio import stdio_client

        async with stdio_client(StdioServerParameters(command=where[0], args=where[1:])) as both:
            yield both


async def sample(context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
    text = types.TextContent(type="text", text="the sampled answer")
    return types.CreateMessageResult(role="assistant", content=text, model="none", stopReason="endTurn")


async def elicit(context: Any, params: Any) -> Any:
    return types.ElicitResult(action="accept", content={"name": "ann", "username": "ann", "email": "ann@example.com"})


async def main(transport: str, where: list[str], key: str | None) -> None:
    steps: list[float] = []

    async def progress(done: float, *_: Any) -> None:
        steps.append(done)

    async def heard(message: Any) -> None:
        # Version 1.6.0 has no callback for progress: its notifications come here.
        note = getattr(message, "root", None)
        if isinstance(note, types.ProgressNotification) and "progress_callback" not in knows:
            steps.append(note.params.progress)

    knows = inspect.signature(ClientSession.call_tool).parameters
    options: dict[str, Any] = {"sampling_callback": sample, "message_handler": heard}
    elicits = "elicitation_callback" in inspect.signature(ClientSession.__init__).parameters
    if elicits:
        options["elicitation_callback"] = elicit
    async with streams(transport, where, key) as (read, write):
        async with ClientSession(read, write, **options) as session:
            hello = await session.initialize()
            tools = await session.list_tools()
            name = await session.call_tool("whoami", {})
            if "progress_callback" in knows:
                await session.call_tool("test_tool_with_progress", {}, progress_callback=progress)
            else:
                params = {"name": "test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": 77}}
                call = types.CallToolRequest(
                    method="tools/call", params=types.CallToolRequestParams.model_validate(params)
                )
                await session.send_request(types.ClientRequest(call), types.CallToolResult)
            sampled = await session.call_tool("test_sampling", {"prompt": "say something"})
            elicited = await session.call_tool("test_elicitation", {"message": "who?"}) if elicits else None
            many = await asyncio.gather(*(session.call_tool("whoami", {}) for _ in range(20)))
            print(json.dumps({
                "version": str(hello.protocolVersion),
                "tools": [tool.name for tool in tools.tools],
                "whoami": name.content[0].text,
                "progress": steps,
                "sampled": sampled.content[0].text,
                "elicited": elicited.content[0].text if elicited else None,
                "many": len([answer for answer in many if answer.content[0].text == name.content[0].text]),
            }))


words = sys.argv[2:]
secret = words[words.index("--key") + 1] if "--key" in words else None
if secret:
    words = words[: words.index("--key")]
asyncio.run(main(sys.argv[1], words, secret))
