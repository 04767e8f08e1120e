"""The Python SDK 1.x for as long as the test lasts. Usage: live1.py URL

An answer of 4xx or 5xx, or none, ends its transport and with it the session: whoever uses it begins anew."""

import asyncio
import sys
import time

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from live import PAUSE, Life


async def main(url: str) -> None:
    life = Life()
    while not life.stop.is_set():
        life.began = time.time()
        try:
            async with httpx.AsyncClient(timeout=30) as http:
                async with streamable_http_client(url, http_client=http) as (read, write, _):
                    async with ClientSession(read, write) as session:
                        await session.initialize()
                        await life.calls(session)
        except Exception as why:
            life.fails(why)
            await asyncio.sleep(PAUSE)
    life.tell()


asyncio.run(main(sys.argv[1]))
