"""A server of any Python SDK over Streamable HTTP (`/mcp`), HTTP+SSE (`/sse`) or WebSocket (`/ws`).

Usage: remote_server.py http|sse|ws

Says its port on standard output.
"""

import asyncio
import socket
import sys
from typing import Any

import uvicorn

from server_story import tell

try:
    from mcp.server.mcpserver import Context, MCPServer
except ImportError:
    from mcp.server.fastmcp import Context, FastMCP as MCPServer

app = MCPServer("story")
tell(app, Context)


def web_socket() -> Any:
    """The SDK has the transport, and no application for it."""
    from mcp.server.websocket import websocket_server
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    class Endpoint:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            server = app._mcp_server
            async with websocket_server(scope, receive, send) as (read, write):
                await server.run(read, write, server.create_initialization_options())

    return Starlette(routes=[WebSocketRoute("/ws", Endpoint())])


async def main(transport: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    served = {"ws": web_socket, "sse": app.sse_app, "http": lambda: app.streamable_http_app()}[transport]()
    await uvicorn.Server(uvicorn.Config(served, log_level="warning")).serve(sockets=[listener])


asyncio.run(main(sys.argv[1]))
