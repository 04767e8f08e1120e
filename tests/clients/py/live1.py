"""The Python SDK 1.x for as long as the test lasts. Usage: live1.py URL"""

import asyncio
import sys

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from live import live


async def main(url: str) -> None:
    async with httpx.AsyncClient(timeout=30) as http:
        async with streamable_http_client(url, http_client=http) as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                await live(session)


asyncio.run(main(sys.argv[1]))
