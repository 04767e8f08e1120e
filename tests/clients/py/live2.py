"""The Python SDK 2.x for as long as the test lasts. Usage: live2.py URL legacy|auto"""

import asyncio
import sys

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from live import Life


async def main(url: str, mode: str) -> None:
    life = Life()
    async with httpx2.AsyncClient(timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            await life.calls(client)
    life.tell()


asyncio.run(main(sys.argv[1], sys.argv[2]))
