"""What every Python client does: list and call tools, read, prompt; then it prints what it saw."""

import json
import os
from typing import Any

# Of the names of tools and prompts, at the endpoint of all servers.
PREFIX = os.environ.get("PREFIX", "")


def headers(key: str | None) -> dict[str, str]:
    """Headers of every request."""
    return {"authorization": f"Bearer {key}"} if key else {}


async def tell(client: Any, version: str) -> None:
    """`client` is a session of the SDK 1.x or a client of 2.x: only the name of one attribute differs."""
    steps: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append(done)

    tools = await client.list_tools()
    name = await client.call_tool(PREFIX + "whoami", {})
    failure = await client.call_tool(PREFIX + "test_error_handling", {})
    await client.call_tool(PREFIX + "test_tool_with_progress", {}, progress_callback=progress)
    page = await client.read_resource("test://static-text")
    prompt = await client.get_prompt(PREFIX + "test_simple_prompt")
    print(json.dumps({
        "version": version,
        "tools": [tool.name for tool in tools.tools],
        "whoami": name.content[0].text,
        "failure": failure.is_error if hasattr(failure, "is_error") else failure.isError,
        "progress": steps,
        "resource": page.contents[0].text,
        "prompt": prompt.messages[0].content.text,
    }))
