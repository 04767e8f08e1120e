"""The Python SDK 1.x is asked by a tool, which waits for the answer. Usage: ask1.py URL"""

import asyncio
import sys
from typing import Any

from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client


async def answer(_: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"word": f"{params.message} yes"})


async def main(url: str) -> None:
    async with streamable_http_client(url) as (read, write, _):
        async with ClientSession(read, write, elicitation_callback=answer) as session:
            await session.initialize()
            for _ in range(3):
                result = await session.call_tool("ask", {})
                print(result.content[0].text)


asyncio.run(main(sys.argv[1]))
