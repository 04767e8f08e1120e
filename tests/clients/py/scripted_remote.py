"""The scripted program over WebSocket (`/ws`) and HTTP+SSE (`/sse`): one process of it for each connection.

Usage: scripted_remote.py PROGRAM. Says its port on standard output. Some methods are about the carrier and never reach the program:
`refuse` is answered by status 400, `ask` has the answer to its POST only when the program has asked, `binary` brings a binary frame.
"""

import asyncio
import json
import socket
import sys
import uuid
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

PROGRAM = sys.argv[1]
LINE_MAX = 1 << 30
sessions: dict[str, "Program"] = {}


class Program:
    """One process, its lines in and out."""

    async def start(self) -> "Program":
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-B", PROGRAM, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, limit=LINE_MAX
        )
        # Requests that wait for an answer of the client.
        self.answers: list[asyncio.Event] = []
        return self

    async def write(self, message: str) -> None:
        self.process.stdin.write(message.replace("\n", " ").encode() + b"\n")
        await self.process.stdin.drain()

    async def lines(self) -> Any:
        while line := await self.process.stdout.readline():
            yield line.rstrip(b"\n").decode()

    def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()


async def web_socket(socket: WebSocket) -> None:
    await socket.accept(subprotocol="mcp")
    program = await Program().start()

    async def down() -> None:
        async for line in program.lines():
            await socket.send_text(line)
        await socket.close(1011)

    writing = asyncio.create_task(down())
    try:
        while True:
            message = await socket.receive_text()
            if json.loads(message).get("method") == "binary":
                await socket.send_bytes(b"{}")
            await program.write(message)
    except (WebSocketDisconnect, RuntimeError, ConnectionError):
        pass
    finally:
        program.end()
        writing.cancel()


async def sse(request: Request) -> Response:
    kind = request.path_params.get("kind")
    name = uuid.uuid4().hex
    program = await Program().start()
    sessions[name] = program

    async def events() -> Any:
        try:
            if kind == "silent":
                await asyncio.sleep(3600)
            if kind == "elsewhere":
                yield "event: endpoint\ndata: http://127.0.0.1:1/messages\n\n"
                await asyncio.sleep(3600)
            yield f": hello\r\nevent: endpoint\r\ndata: /messages?session={name}\r\n\r\n"
            async for line in program.lines():
                yield f"event: message\r\nid: 1\r\ndata: {line}\r\n\r\n"
        finally:
            sessions.pop(name, None)
            program.end()

    return StreamingResponse(events(), media_type="text/event-stream")


async def messages(request: Request) -> Response:
    program = sessions.get(request.query_params["session"])
    if program is None:
        return Response("no such stream", 404)
    message = (await request.body()).decode()
    method = json.loads(message).get("method")
    if method == "refuse":
        return Response("not with me", 400)
    program.answers += [asyncio.Event()] if method == "ask" else []
    await program.write(message)
    if method == "ask":
        # As servers do that say they took a request when it is done, and ask back meanwhile.
        await program.answers[-1].wait()
    elif method is None and program.answers:
        program.answers.pop().set()
    return Response(status_code=202)


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    app = Starlette(routes=[
        WebSocketRoute("/ws", web_socket),
        Route("/sse", sse),
        Route("/{kind}/sse", sse),
        Route("/messages", messages, methods=["POST"]),
    ])
    config = uvicorn.Config(app, log_level="warning", ws_ping_interval=None)
    await uvicorn.Server(config).serve(sockets=[listener])


asyncio.run(main())
