"""The Python SDK 1.x. Usage: client1.py URL legacy [API_KEY]"""

import asyncio
import sys

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from story import headers, tell


async def main(url: str, key: str | None) -> None:
    async with httpx.AsyncClient(headers=headers(key), timeout=30) as http:
        async with streamable_http_client(url, http_client=http) as (read, write, _):
            async with ClientSession(read, write) as session:
                hello = await session.initialize()
                await tell(session, hello.protocolVersion)


asyncio.run(main(sys.argv[1], sys.argv[3] if len(sys.argv) > 3 else None))
