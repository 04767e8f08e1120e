"""The Python SDK 1.x: lists and calls tools, reads, prompts. Usage: client1.py URL legacy [API_KEY]"""

import asyncio
import json
import sys

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http:
        async with streamable_http_client(url, http_client=http) as (read, write, _):
            async with ClientSession(read, write) as session:
                steps: list[float] = []

                async def progress(done: float, total: float | None, message: str | None) -> None:
                    steps.append(done)

                hello = await session.initialize()
                tools = await session.list_tools()
                name = await session.call_tool("whoami", {})
                failure = await session.call_tool("test_error_handling", {})
                await session.call_tool("test_tool_with_progress", {}, progress_callback=progress)
                page = await session.read_resource("test://static-text")
                prompt = await session.get_prompt("test_simple_prompt")
                print(json.dumps({
                    "version": hello.protocolVersion,
                    "tools": [tool.name for tool in tools.tools],
                    "whoami": name.content[0].text,
                    "failure": failure.isError,
                    "progress": steps,
                    "resource": page.contents[0].text,
                    "prompt": prompt.messages[0].content.text,
                }))


asyncio.run(main(sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else None))
