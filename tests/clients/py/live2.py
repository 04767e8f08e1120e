"""The Python SDK 2.x for as long as the test lasts. Usage: live2.py URL legacy|auto

A connection that breaks under a request ends its transport: whoever uses it begins anew."""

import asyncio
import sys
import time

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from live import PAUSE, Life


async def main(url: str, mode: str) -> None:
    life = Life()
    while not life.stop.is_set():
        life.began = time.time()
        try:
            async with httpx2.AsyncClient(timeout=30) as http:
                async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
                    await life.calls(client)
        except Exception as why:
            life.fails(why)
            await asyncio.sleep(PAUSE)
    life.tell()


asyncio.run(main(sys.argv[1], sys.argv[2]))
