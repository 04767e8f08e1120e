"""A server of the Python SDK 2.x that keeps no events: none of them has an id. Usage: counting.py PORT"""

import asyncio
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("counting")


@server.tool()
async def count_up(to: int, ms: int, ctx: Context) -> str:
    """Tells the progress of counting up to `to`, `ms` apart"""
    for number in range(1, to + 1):
        await ctx.report_progress(number, to)
        await asyncio.sleep(ms / 1000)
    return str(to)


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
