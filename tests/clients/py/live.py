"""A client that calls a tool again and again until its standard input is closed, and then prints what became of the calls.

A call that fails is counted and the next one follows, by the same client: what else is done about a failure is up to the SDK."""

import asyncio
import json
import sys
import threading
import time
from typing import Any

PAUSE = 0.1
# Of one call, beyond what the gateway takes to give up.
LIMIT = 30


async def live(client: Any) -> None:
    """`client` is a session of the SDK 1.x or a client of 2.x."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()
    good = 0
    failed: list[dict[str, Any]] = []
    while not stop.is_set():
        began = time.time()
        try:
            answer = await asyncio.wait_for(client.call_tool("whoami", {}), LIMIT)
            if answer.content[0].text not in ("one", "two"):
                raise ValueError(repr(answer))
            good += 1
        except Exception as why:
            failed.append({"began": began, "ended": time.time(), "why": f"{type(why).__name__}: {why}"})
        await asyncio.sleep(PAUSE)
    print(json.dumps({"good": good, "failed": failed}))
