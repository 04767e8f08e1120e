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


class Life:
    """What a client has seen, and whether it shall end."""

    def __init__(self) -> None:
        self.good = 0
        self.failed: list[dict[str, Any]] = []
        self.began = time.time()
        self.stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait() -> None:
            sys.stdin.read()
            loop.call_soon_threadsafe(self.stop.set)

        threading.Thread(target=wait, daemon=True).start()

    async def calls(self, client: Any) -> None:
        """`client` is a session of the SDK 1.x or a client of 2.x."""
        while not self.stop.is_set():
            self.began = time.time()
            try:
                answer = await asyncio.wait_for(client.call_tool("whoami", {}), LIMIT)
                if answer.content[0].text not in ("one", "two"):
                    raise ValueError(repr(answer))
                self.good += 1
            except Exception as why:
                self.fails(why)
            await asyncio.sleep(PAUSE)

    def fails(self, why: BaseException) -> None:
        """The call that began last has failed."""
        while isinstance(why, BaseExceptionGroup):
            why = why.exceptions[0]
        self.failed.append({"began": self.began, "ended": time.time(), "why": f"{type(why).__name__}: {why}"})

    def tell(self) -> None:
        print(json.dumps({"good": self.good, "failed": self.failed}))
