"""The Python SDK 2.x: lists and calls tools, reads, prompts. Usage: client2.py URL legacy|auto [API_KEY]"""

import asyncio
import json
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client


async def main(url: str, mode: str, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            steps: list[float] = []

            async def progress(done: float, total: float | None, message: str | None) -> None:
                steps.append(done)

            tools = await client.list_tools()
            name = await client.call_tool("whoami", {})
            failure = await client.call_tool("test_error_handling", {})
            await client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
            page = await client.read_resource("test://static-text")
            prompt = await client.get_prompt("test_simple_prompt")
            print(json.dumps({
                "version": client.protocol_version,
                "tools": [tool.name for tool in tools.tools],
                "whoami": name.content[0].text,
                "failure": failure.is_error,
                "progress": steps,
                "resource": page.contents[0].text,
                "prompt": prompt.messages[0].content.text,
            }))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
