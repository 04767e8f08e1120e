"""The Python SDK 2.x. Usage: client2.py URL legacy|auto [API_KEY]"""

import asyncio
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from story import headers, tell


async def main(url: str, mode: str, key: str | None) -> None:
    async with httpx2.AsyncClient(headers=headers(key), timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            await tell(client, client.protocol_version)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
